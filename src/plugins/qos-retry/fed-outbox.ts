/**
 * An outbox that also carries messages of shared groups and pull queues (`lane.ts`).
 *
 * Always true:
 * - both kinds are in one window and count together; the session's own messages go first;
 * - identifiers of brought messages are taken far from where those of the own queue are now, so that neither waits for the other;
 * - a brought message is not the session's: when the connection goes, so does its place in the window.
 */
import type { AckOutcome, Deliverer } from '../../broker/ports.js'
import { PACKET_ID_MAX } from '../../core/limits.js'
import type { MessageView } from '../../store/message.js'
import { give, type InFlight, take } from './in-flight.js'
import type { Brought, Feeder, Lane } from './lane.js'
import { Outbox } from './outbox.js'

/** Identifiers of brought messages stay so far ahead of the session's own at least, and are set so far ahead when they are not. */
const AHEAD_MIN = PACKET_ID_MAX >>> 2
const AHEAD = PACKET_ID_MAX >>> 1

export class FedOutbox extends Outbox implements Lane {
  feeder: Feeder | null = null
  /** Brought messages in the window. */
  private carried = 0
  private lastBrought = 0

  get connected(): boolean {
    return this.to !== null
  }

  get open(): boolean {
    return this.to?.writable === true
  }

  get room(): number {
    const { to } = this
    if (to === null || this.loading !== null || !to.writable) return 0
    return to.window - this.inFlight - this.queue.waiting - (this.held === null ? 0 : this.held.size)
  }

  once(message: MessageView, flags: number, extra: Buffer | undefined): void {
    this.to?.sendPublish(message, flags, 0, false, extra)
  }

  bring(message: MessageView, brought: Brought): void {
    const { to } = this
    if (to === null) {
      brought.lost(false)
      return
    }
    const packetId = this.farId()
    const flight = take(null, 0, this.rules.coarse_ms())
    flight.brought = brought
    this.flights().set(packetId, flight)
    this.carried++
    if (to.sendPublish(message, brought.flags, packetId, false, brought.extra)) return
    this.drop(packetId, flight)
    brought.kept()
  }

  override attach(to: Deliverer): void {
    super.attach(to)
    this.feeder?.arrived()
  }

  override pump(): void {
    super.pump()
    if (this.feeder !== null && this.to !== null) this.feeder.room()
  }

  override discard(): number {
    const count = super.discard()
    if (this.to !== null) this.feeder?.room()
    return count
  }

  override detach(): number {
    const back = this.carried === 0 ? null : this.takeCarried()
    const counted = this.to?.parts !== true
    const sent = super.detach()
    if (back !== null) for (const brought of back) brought.lost(counted)
    return sent
  }

  override acked(packetId: number, refused = false): AckOutcome {
    const flight = this.carried === 0 ? undefined : this.window?.get(packetId)
    const brought = flight?.brought ?? null
    if (flight === undefined || brought === null) return super.acked(packetId)
    this.drop(packetId, flight)
    brought.acked(refused)
    this.pump()
    return 'ok'
  }

  override sent(packetId: number): { message: MessageView; flags: number } | undefined {
    const brought = this.window?.get(packetId)?.brought ?? null
    if (brought === null) return super.sent(packetId)
    const message = brought.read()
    return message === undefined ? undefined : { message, flags: brought.flags }
  }

  override retry(): void {
    if (this.carried > 0 && this.rules.interval_ms > 0) this.retryCarried()
    super.retry()
  }

  private retryCarried(): void {
    const { to } = this
    const now = this.rules.coarse_ms()
    for (const [packetId, flight] of this.window ?? []) {
      const { brought } = flight
      if (brought === null || to === null || !this.isDue(flight, now)) continue
      if (!brought.overdue()) {
        if (!to.resendsLive || to.unsent || !to.writable) continue
        const message = brought.read()
        if (message === undefined) continue
        to.sendPublish(message, brought.flags, packetId, true, brought.extra)
      }
      flight.sentAt = now
      flight.resends++
    }
  }

  private takeCarried(): Brought[] {
    const back: Brought[] = []
    for (const [packetId, flight] of this.window ?? []) {
      const { brought } = flight
      if (brought === null) continue
      back.push(brought)
      this.drop(packetId, flight)
    }
    return back
  }

  private drop(packetId: number, flight: InFlight): void {
    this.carried--
    this.window?.delete(packetId)
    give(flight)
  }

  /** A free identifier, far from those that the own queue uses next. */
  private farId(): number {
    const ahead = (this.lastBrought + 1 - this.ownId + PACKET_ID_MAX) % PACKET_ID_MAX
    let id = ahead < AHEAD_MIN ? this.ownId + AHEAD : this.lastBrought + 1
    for (;;) {
      id = 1 + ((id - 1) % PACKET_ID_MAX)
      if (this.window?.has(id) !== true) break
      id++
    }
    this.lastBrought = id
    return id
  }
}
