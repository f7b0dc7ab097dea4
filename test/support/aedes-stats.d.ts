/** The plug-in has no types of its own. */
declare module 'aedes-stats' {
  export default function stats(aedes: object, options?: { interval?: number }): void
}
