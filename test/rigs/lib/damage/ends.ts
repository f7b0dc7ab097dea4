/** How a broker may end by itself: with exit code 1 and a sentence that says what to do. */
import type { Violation } from './judge.js'
import { Said } from './said.js'

/** `how`: exit code or signal name, undefined for one that was given up. */
export function brokenEnd(what: string, how: string | undefined, stderr: string): Violation | undefined {
  const last = lastOf(stderr)
  if (how === undefined) return { kind: 'hangs', text: `${what} came to nothing in time: ${last}` }
  if (how.startsWith('SIG')) return { kind: 'signal', text: `${what} ended by ${how}: ${last}` }
  if (how !== '1' || new Said(stderr).refusal() === undefined)
    return { kind: 'speechless', text: `${what} ended with ${how}, without a sentence that says what to do: ${last}` }
  return undefined
}

export function lastOf(stderr: string): string {
  return stderr.trim().split('\n').slice(-2).join(' | ').slice(0, 400)
}

/** A refusal's sentence without its numbers. */
export function shapeOf(stderr: string): string {
  return (new Said(stderr).refusal() ?? '').replace(/\d+/g, '#')
}
