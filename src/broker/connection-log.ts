/**
 * Who came, who went and why: a line each at info, and a warning for whom the broker turned away. So that "why did my sensor drop at three o'clock?" has an
 * answer in the log.
 *
 * Always true: at most LINES lines of a kind in ten seconds, then how many were left out; a connection that never sent CONNECT is no line, unless it was
 * refused.
 */
import type { Log } from '../core/log.js'
import { Seldom } from '../core/seldom.js'
import { Reason } from '../mqtt/constants.js'
import type { Connection, Phase } from './connection.js'

const LINES = 30

/** Ends that need no error: in words. */
const REASON_WORDS: ReadonlyMap<number, string> = new Map([
  [Reason.session_taken_over, 'another connection with this client identifier took over'],
  [Reason.administrative_action, 'ended by a program or an operator'],
  [Reason.server_shutting_down, 'the broker stops'],
  [Reason.server_moved, 'the broker stops'],
  [Reason.server_busy, 'the store is not open'],
])

export class ConnectionLog {
  private readonly seldom: Seldom
  private readonly uptime_ms: () => number

  constructor(log: Log, uptime_ms: () => number) {
    this.seldom = new Seldom(log, uptime_ms, { lines: LINES })
    this.uptime_ms = uptime_ms
  }

  connected(c: Connection, present: boolean): void {
    const { id: client, version, keepalive_s } = c
    this.seldom.info({ ...whoOf(c), client, version, keepalive_s, session_present: present }, 'a client connected')
  }

  /** `why`: in words; `refused`: the broker's doing, for what the client sent or asked. */
  ended(c: Connection, was: Phase, why: string, refused: boolean): void {
    const fields = { ...whoOf(c), client: c.id, reason: why }
    if (was === 'connected') {
      const connected_s = Math.round((this.uptime_ms() - c.made_ms) / 1000)
      this.seldom[refused ? 'warn' : 'info']({ ...fields, connected_s }, 'a client disconnected')
    } else if (refused) {
      this.seldom.warn(fields, 'a connection was refused')
    }
  }
}

function whoOf({ transport, user }: Connection): object {
  return { remote: transport.remote, ...(typeof user === 'string' ? { user } : {}) }
}

/** Why the broker ended a connection that did nothing wrong. */
export function wordsOf(reason: number): string {
  return REASON_WORDS.get(reason) ?? 'ended by the broker'
}
