/**
 * Retained messages for new subscriptions, sent as the socket takes them. What changed since the SUBSCRIBE is skipped: the
 * subscription was already in force, so the newer one was delivered live, and an older one behind it would be wrong.
 */
import type { Connection } from './connection.js'
import { FLAG_RETAIN } from './ports.js'
import type { RetainedMessage } from './retained.js'
import type { Stored } from './state.js'

/** Messages looked at before other connections get their turn. */
const SLICE = 256

interface Part {
  readonly iterator: Iterator<[string, RetainedMessage]>
  readonly qos: 0 | 1 | 2
  /** What goes with the subscription's entries. */
  readonly extra: Buffer | undefined
}

export class RetainedReplay {
  private readonly parts: Part[] = []
  private readonly stored: Stored
  private readonly serial: number
  private next: RetainedReplay | null = null

  constructor(stored: Stored) {
    this.stored = stored
    this.serial = stored.retained.serial
  }

  add(filter: string, qos: 0 | 1 | 2, extra: Buffer | undefined): void {
    this.parts.push({ iterator: this.stored.retained.match(filter)[Symbol.iterator](), qos, extra })
  }

  append(replay: RetainedReplay): void {
    if (this.next === null) this.next = replay
    else this.next.append(replay)
  }

  /** Sends what it can. True when nothing is left; else call again when the connection can take more. */
  run(to: Connection): boolean {
    let looked = 0
    for (;;) {
      const part = this.parts[0]
      if (part === undefined) return this.next === null || this.next.run(to)
      if (to.session === null) return true
      if (!to.writable) return false
      if (looked++ === SLICE) {
        setImmediate(() => to.drained())
        return false
      }
      const step = part.iterator.next()
      if (step.done === true) this.parts.shift()
      else this.send(to, step.value[1], part)
    }
  }

  private send(to: Connection, kept: RetainedMessage, { qos: granted, extra }: Part): void {
    if (kept.serial > this.serial || to.state.routes.denies(kept.topic)) return
    const view = this.stored.retained.read(kept)
    if (view === undefined) return
    const qos = kept.qos < granted ? kept.qos : granted
    if (qos === 0) {
      to.sendStoredQos0(view, extra)
      return
    }
    const session = to.session
    if (session === null) return
    const { mailboxes } = this.stored
    mailboxes.begin(view)
    mailboxes.append(session.mailbox, qos | FLAG_RETAIN, false, extra)
  }
}
