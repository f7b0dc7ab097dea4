/** The part of the contract suite's module that has no types of its own. */
declare module 'aedes-persistence/abstract.js' {
  export default function abstract(options: {
    test: unknown
    testAsync: boolean
    persistence: () => unknown
    buildEmitter?: () => unknown
  }): void
}
