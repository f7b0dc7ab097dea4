/** One message in the hands of a consumer. */
import type { Received } from './source.js'

/** Why a handler is told to stop: read it from `signal.reason`. */
export class Stopped extends Error {
  /** `lease_lost`: the message may be somebody else's by now. `stopping`: the consumer stops and has given the message back. */
  readonly code: 'lease_lost' | 'stopping'
  constructor(code: Stopped['code'], message: string) {
    super(message)
    this.name = 'Stopped'
    this.code = code
  }
}

/**
 * `handling → settling → over`; or `handling → over` when the lease is lost. Only a job that is handling is extended, only one that is settling is
 * acknowledged or given back, and nothing leaves `over`.
 */
export class Job {
  readonly message: Received
  state: 'handling' | 'settling' | 'over' = 'handling'
  /** The handler threw. */
  threw = false
  /** On the uptime clock: when the lease ends as far as is known here, and when to ask for more. */
  until_ms = 0
  extend_at_ms = 0
  private readonly controller = new AbortController()

  constructor(message: Received) {
    this.message = message
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** A lease began at `asked_ms`, or later if that is when it was asked for. */
  held(asked_ms: number, lease_ms: number): void {
    this.until_ms = asked_ms + lease_ms
    this.extend_at_ms = asked_ms + lease_ms / 2
  }

  abort(reason: Stopped): void {
    this.controller.abort(reason)
  }
}
