/**
 * The sending half of QoS 1 and 2 for one session [MQTT-4.3.2, 4.3.3, 4.4.0]: a window of messages leased from the session's queue.
 *
 *   waiting in the queue ──lease──▶ sent ──PUBACK──▶ gone
 *                                    │ └─PUBREC──▶ released (stored) ──PUBCOMP──▶ gone
 *                                    └ connection lost: back to its old place, sent again with DUP
 *
 * Always true:
 * - a packet identifier is 1 + (place in the queue mod 65,535), so a message has the same one after a reconnect or restart, without a row for it; when
 *   that identifier is still in use by a message 65,535 places before, delivery waits for it;
 * - first deliveries are in queue order; what was sent before a connection was lost comes first, in its old order [MQTT-4.6.0-1];
 * - PUBREL leaves only when PUBREC is stored;
 * - nothing is sent again while bytes of earlier writes are still in our own buffer.
 */
import type { AckOutcome, Deliverer } from '../../broker/ports.js'
import { FLAG_QOS } from '../../broker/ports.js'
import type { Clock } from '../../core/clock.js'
import { PACKET_ID_MAX } from '../../core/limits.js'
import type { Log } from '../../core/log.js'
import type { Departure, Entry, SessionQueue } from '../../queue/queue.js'
import { READ_AGAIN_MS, readEntry } from '../../queue/reading.js'
import { pubrelKey } from '../../store/keys.js'
import { isLost } from '../../store/log.js'
import type { MessageView } from '../../store/message.js'
import type { Waiter } from '../../store/waiter.js'
import type { SessionStorage } from '../durable-queues/index.js'
import type { AssignedIds } from './assigned.js'
import { Held } from './held.js'
import { give, type InFlight, take } from './in-flight.js'
import type { QosRetryOptions } from './index.js'
import type { Released } from './released.js'

export interface RetryRules extends QosRetryOptions {
  /** For moments of sending: good to a quarter of a second. */
  coarse_ms(): number
  readonly clock: Clock
  readonly log: Log
}

/** Back-off stops doubling here. */
const RETRY_DOUBLINGS_MAX = 6

export class Outbox implements Waiter {
  readonly queue: SessionQueue
  protected readonly clientId: string
  protected readonly storage: SessionStorage
  protected readonly rules: RetryRules
  /** By packet identifier, in the order of sending. Null while nothing is under way, as for most of an idle fleet. */
  protected window: Map<number, InFlight> | null = null
  protected held: Held | null = null
  protected to: Deliverer | null = null
  /** An entry that was leased and whose bytes are being read from the store. */
  protected loading: Entry | null = null
  private pumping = false
  /** A message could not be read, and is tried again soon. */
  private resting = false
  /** Null for nearly all: see there. */
  protected assigned: AssignedIds | null = null
  /** The identifier last taken from the own queue. */
  protected ownId = 0
  /** So many of the first messages may have been sent before the start. */
  protected maybeSent: number

  constructor(queue: SessionQueue, clientId: string, storage: SessionStorage, rules: RetryRules, maybeSent: number) {
    this.queue = queue
    this.clientId = clientId
    this.storage = storage
    this.rules = rules
    // What comes in from now on was certainly not sent before.
    this.maybeSent = Math.min(maybeSent, queue.counts().ready)
  }

  get id(): number {
    return this.queue.durable ? this.queue.id : 0
  }

  get inFlight(): number {
    return this.window === null ? 0 : this.window.size
  }

  get waiting(): number {
    const { ready, leased } = this.queue.counts()
    return ready + leased
  }

  get holding(): boolean {
    return this.held !== null && !this.held.empty
  }

  hold(message: MessageView, flags: number, extra: Buffer | undefined): void {
    if (this.held === null) this.held = new Held(this.queue, this.storage)
    this.held.add(message, flags, extra)
  }

  /** A handshake that the start found in the store. */
  restore({ packetId, seq }: Released): void {
    const flight = take(null, seq, 0)
    flight.released = true
    flight.stored = true
    this.flights().set(packetId, flight)
  }

  attach(to: Deliverer): void {
    this.to = to
    this.queue.onReady = () => this.pump()
    const now = this.rules.coarse_ms()
    if (this.window !== null) {
      for (const [packetId, flight] of this.window) {
        flight.sentAt = now
        flight.resends = 0
        if (flight.stored) to.sendPubrel(packetId)
      }
    }
    this.pump()
  }

  detach(): number {
    this.to = null
    this.queue.onReady = null
    // Handed out and never sent: that attempt did not happen.
    if (this.loading !== null) this.queue.release(this.loading, false)
    this.loading = null
    let sent = 0
    if (this.window !== null) {
      for (const [packetId, flight] of this.window) {
        if (flight.released) continue
        sent++
        this.window.delete(packetId)
        give(flight)
      }
      if (this.window.size === 0) this.window = null
    }
    this.queue.releaseAll()
    return Math.min(sent + this.maybeSent, PACKET_ID_MAX)
  }

  discard(): number {
    return this.queue.purge()
  }

  pump(): void {
    if (this.pumping) return
    this.pumping = true
    try {
      while (this.sendNext());
    } finally {
      this.pumping = false
    }
  }

  /** Sends one message. False when there is none, no room for one, or its bytes must be read first. */
  private sendNext(): boolean {
    const { to, queue } = this
    if (to === null || this.loading !== null || this.resting || this.inFlight >= to.window || !to.writable) return false
    const index = queue.peekIndex()
    if (index < 0) return false
    const packetId = 1 + (index % PACKET_ID_MAX)
    if (this.window?.has(packetId) === true) return false
    this.ownId = packetId
    const entry = queue.lease()
    if (entry === undefined) return false
    if (this.assigned !== null && this.window?.has(this.idOf(entry)) === true) {
      queue.release(entry, false)
      return false
    }
    const message = readEntry(queue, entry)
    if (message === undefined) {
      this.load(entry)
      return false
    }
    const id = this.assigned === null ? packetId : this.idOf(entry)
    if (message === null) this.lose(entry, id)
    else this.send(to, entry, message, id)
    return true
  }

  private idOf(entry: Entry): number {
    return this.assigned?.wireId(entry.seq) ?? 1 + (entry.index % PACKET_ID_MAX)
  }

  /** The entry leaves its queue, and with it the identifier it may have been given. */
  protected leave(entry: Entry, why?: Departure): void {
    this.assigned?.delete(entry.seq)
    this.queue.ack(entry, why)
  }

  private send(to: Deliverer, entry: Entry, message: MessageView, packetId: number): void {
    const again = this.maySentBefore(entry)
    if (!again && this.isExpired(message)) {
      this.leave(entry, 'expired')
      return
    }
    const { max_attempts } = this.rules
    if (max_attempts > 0 && entry.attempts > max_attempts) {
      this.bury(entry, message)
      return
    }
    if (this.maybeSent > 0) this.maybeSent--
    this.flights().set(packetId, take(entry, entry.seq, this.rules.coarse_ms()))
    if (to.sendPublish(message, entry.flags, packetId, again, entry.extra)) return
    // A hook kept it from this client: it is done with.
    this.window?.delete(packetId)
    this.leave(entry, 'refused')
  }

  private maySentBefore(entry: Entry): boolean {
    return this.maybeSent > 0 || entry.attempts > 1 || this.assigned?.wireId(entry.seq) !== undefined
  }

  /** It was damaged on the disk: never delivered, and said by its queue. */
  private lose(entry: Entry, packetId: number): void {
    this.endUnsent(entry, packetId, 'damaged')
  }

  /** Ends an entry that was leased to be sent, and is not. */
  private endUnsent(entry: Entry, packetId: number, why: Departure): void {
    const again = this.maySentBefore(entry)
    if (this.maybeSent > 0) this.maybeSent--
    if (again) this.endSent(entry, packetId, take(entry, entry.seq, 0), why)
    else this.leave(entry, why)
  }

  /**
   * Not to be delivered any more, when it never was [MQTT-3.3.2-5]. What may have been sent is sent again, expired or not: the client may not have got it, and
   * its handshake must end [MQTT-4.4.0-1] [MQTT-4.3.3-7].
   */
  private isExpired(message: MessageView): boolean {
    return message.expiresAt !== 0 && message.expiresAt <= this.rules.clock.now()
  }

  /**
   * The client has it, or may have it. Of QoS 2 the handshake goes on as if PUBREC had come (who never saw the message answers PUBREL all the same): the
   * client would take a later message with that identifier for this one.
   */
  private endSent(entry: Entry, packetId: number, flight: InFlight, why: Departure): void {
    if ((entry.flags & FLAG_QOS) === 2) {
      flight.sentAt = this.rules.coarse_ms()
      this.release(entry, packetId, flight, why)
      return
    }
    this.window?.delete(packetId)
    give(flight)
    this.leave(entry, why)
  }

  /** The message is done with; its identifier stays in use until PUBCOMP. */
  private release(entry: Entry, packetId: number, flight: InFlight, why?: Departure): void {
    flight.released = true
    flight.entry = null
    // The order of PUBRELs is the order of PUBRECs [MQTT-4.6.0-4].
    const flights = this.flights()
    flights.delete(packetId)
    flights.set(packetId, flight)
    this.leave(entry, why)
    if (this.queue.durable) {
      this.storeReceived(packetId, flight.seq)
      return
    }
    flight.stored = true
    this.to?.sendPubrel(packetId)
  }

  /** Not at once: this may run in the middle of another message's admission, and the dead-letter queue needs one of its own. */
  private bury(entry: Entry, message: MessageView): void {
    queueMicrotask(() => {
      this.storage.bury(this.queue, this.clientId, entry, message)
      this.leave(entry, 'dead')
      this.pump()
    })
  }

  private load(entry: Entry): void {
    this.loading = entry
    const to = this.to
    this.queue.load(entry).then(
      () => this.loaded(entry, to),
      (error: unknown) => this.notLoaded(entry, error),
    )
  }

  private notLoaded(entry: Entry, error: unknown): void {
    if (this.loading !== entry) return
    this.loading = null
    if (isLost(error)) {
      this.lose(entry, this.idOf(entry))
      this.pump()
      return
    }
    // The disk may be back soon. The hand-out did not happen.
    this.rules.log.error({ err: error, client: this.clientId }, 'a waiting message cannot be read; it is tried again')
    this.queue.release(entry, false)
    this.resting = true
    this.rules.clock.after(READ_AGAIN_MS, () => {
      this.resting = false
      this.pump()
    })
  }

  private loaded(entry: Entry, to: Deliverer | null): void {
    // The connection may have gone meanwhile, and the entry back to its place with it.
    if (this.loading !== entry || this.to !== to || to === null) return
    this.loading = null
    const message = readEntry(this.queue, entry)
    if (message === undefined) {
      this.load(entry)
      return
    }
    if (message === null) this.lose(entry, this.idOf(entry))
    else this.send(to, entry, message, this.idOf(entry))
    this.pump()
  }

  /** The message in flight under `packetId`, if its bytes are at hand. */
  sent(packetId: number): { message: MessageView; flags: number } | undefined {
    const entry = this.window?.get(packetId)?.entry ?? null
    const message = entry === null ? undefined : readEntry(this.queue, entry)
    return entry === null || message === undefined || message === null ? undefined : { message, flags: entry.flags }
  }

  acked(packetId: number): AckOutcome {
    const flight = this.window?.get(packetId)
    if (flight === undefined) return 'unknown'
    const entry = flight.entry
    if (entry === null || (entry.flags & FLAG_QOS) !== 1) return 'wrong'
    this.window?.delete(packetId)
    give(flight)
    this.leave(entry)
    this.pump()
    return 'ok'
  }

  received(packetId: number): AckOutcome {
    const flight = this.window?.get(packetId)
    if (flight === undefined) return 'unknown'
    if (flight.released) {
      // A PUBREC that was sent again: so is PUBREL, when the first is stored.
      if (flight.stored) this.to?.sendPubrel(packetId)
      return 'ok'
    }
    const entry = flight.entry
    if (entry === null || (entry.flags & FLAG_QOS) !== 2) return 'wrong'
    this.release(entry, packetId, flight)
    return 'ok'
  }

  rejected(packetId: number): AckOutcome {
    const flight = this.window?.get(packetId)
    if (flight === undefined) return 'unknown'
    const entry = flight.entry
    if (entry === null || (entry.flags & FLAG_QOS) !== 2) return 'wrong'
    this.window?.delete(packetId)
    give(flight)
    this.leave(entry, 'refused')
    this.pump()
    return 'ok'
  }

  protected storeReceived(packetId: number, seq: number): void {
    const value = Buffer.allocUnsafe(2)
    value.writeUInt16BE(packetId, 0)
    const { journal } = this.storage.store
    journal.put(pubrelKey(this.queue.id, seq), value)
    journal.wait(this, packetId, journal.openGroup)
  }

  completed(packetId: number): AckOutcome {
    const flight = this.window?.get(packetId)
    if (flight === undefined) return 'unknown'
    if (!flight.released) return 'wrong'
    this.window?.delete(packetId)
    if (this.queue.durable) this.storage.store.journal.del(pubrelKey(this.queue.id, flight.seq))
    give(flight)
    this.pump()
    return 'ok'
  }

  committed(packetId: number): void {
    const flight = this.window?.get(packetId)
    if (flight === undefined || !flight.released || flight.stored) return
    flight.stored = true
    flight.sentAt = this.rules.coarse_ms()
    this.to?.sendPubrel(packetId)
  }

  commitFailed(_packetId: number): void {
    // Every connection is closed and every mailbox made anew when a commit fails.
  }

  retry(): void {
    const { interval_ms } = this.rules
    const to = this.to
    if (interval_ms === 0 || to === null || this.window === null || !to.resendsLive || to.unsent) return
    const now = this.rules.coarse_ms()
    for (const [packetId, flight] of this.window) {
      if (flight.brought !== null || !this.isDue(flight, now)) continue
      if (!to.writable) return
      this.resend(to, packetId, flight, now)
    }
  }

  /** Has it waited for its acknowledgement for so long that something must be done? */
  protected isDue(flight: InFlight, now: number): boolean {
    return now - flight.sentAt >= this.rules.interval_ms * 2 ** Math.min(flight.resends, RETRY_DOUBLINGS_MAX)
  }

  private resend(to: Deliverer, packetId: number, flight: InFlight, now: number): void {
    if (flight.released) {
      if (!flight.stored) return
      to.sendPubrel(packetId)
    } else {
      const entry = flight.entry as Entry
      const message = readEntry(this.queue, entry)
      if (message === undefined) {
        this.queue.load(entry).catch(() => {})
        return
      }
      if (message === null) {
        // The client may still acknowledge what it has.
        flight.sentAt = now
        return
      }
      if (this.rules.max_attempts > 0 && entry.attempts >= this.rules.max_attempts) {
        this.window?.delete(packetId)
        this.bury(entry, message)
        return
      }
      entry.attempts++
      to.sendPublish(message, entry.flags, packetId, true, entry.extra)
    }
    flight.sentAt = now
    flight.resends++
  }

  protected flights(): Map<number, InFlight> {
    if (this.window === null) this.window = new Map()
    return this.window
  }
}
