/**
 * Connections before their CONNECT is accepted: anybody who reaches the port can have one, so their number and what they sent are bounded whatever the
 * transport. At a bound the one that has waited longest without a whole CONNECT goes: who means it sends CONNECT at once.
 *
 * Always true: `bytes` is the sum of what these connections hold of packets that have not come whole.
 */
import type { CountedLimit } from '../core/refusals.js'
import type { Connection } from './connection.js'
import type { BrokerState } from './state.js'

export class Knocking {
  /** In the order in which they came. */
  private readonly all = new Map<Connection, number>()
  private readonly state: BrokerState
  private bytes = 0

  constructor(state: BrokerState) {
    this.state = state
  }

  get size(): number {
    return this.all.size
  }

  /** False when there is no place for it. */
  add(c: Connection): boolean {
    const { max_connecting } = this.state.settings
    if (this.all.size >= max_connecting && !this.turnAwayOldest('mqtt.max_connecting', () => true)) {
      this.state.refusals.count('mqtt.max_connecting')
      return false
    }
    this.all.set(c, 0)
    return true
  }

  /** A socket is needed for somebody else. False when all of these are being decided about. */
  makeRoom(): boolean {
    return this.turnAwayOldest('file_descriptors', () => true)
  }

  /** It holds `bytes` of its first packets now. */
  holds(c: Connection, bytes: number): void {
    const before = this.all.get(c)
    if (before === undefined || before === bytes) return
    this.all.set(c, bytes)
    this.bytes += bytes - before
    const { max_connecting_bytes } = this.state.settings
    while (this.bytes > max_connecting_bytes) {
      if (!this.turnAwayOldest('mqtt.max_connecting_bytes', (held) => held > 0)) return
    }
  }

  /** It was accepted, or has gone. */
  delete(c: Connection): void {
    this.bytes -= this.all.get(c) ?? 0
    this.all.delete(c)
  }

  /** Those whose CONNECT came are decided by hooks, which are not hurried. */
  private turnAwayOldest(limit: CountedLimit, mayGo: (bytes: number) => boolean): boolean {
    for (const [c, bytes] of this.all) {
      if (c.phase !== 'waiting' || !mayGo(bytes)) continue
      this.state.refusals.count(limit, { remote: c.transport.remote })
      c.finish(new Error('too many connections without CONNECT'))
      c.transport.destroy()
      return true
    }
    return false
  }
}
