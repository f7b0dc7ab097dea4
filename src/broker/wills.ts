/**
 * Wills: what is published for a client that goes without saying goodbye [MQTT-3.1.2-8]. Each is stored with the CONNECT that brought it.
 *
 * A will is *of a connection* (its row has no moment) → gone, with a DISCONNECT; or → *waiting* for its delay, in MQTT 5, when the session goes on
 * without the connection → published, or gone when the client comes back in time [MQTT-3.1.3-9].
 *
 * Always true:
 * - a row leaves in the commit that has the message, so a will is sent once, whenever the broker dies; every will has a row of its own;
 * - a wait is a stored moment; it ends at that moment or with the session, whichever is first. A start takes wills of connections as ended now;
 * - the hook that may refuse a publish is asked when the connection ends, while there is a client to be asked about, and not again after the wait;
 * - what waits costs a few words of memory: its message is in its row. There is no timer: the sweep asks for what is due.
 */
import { hasCode } from '../core/errors.js'
import { WILLS_REFUSED_MAX } from '../core/limits.js'
import { type Moment, Moments } from '../core/moments.js'
import type { CountedLimit } from '../core/refusals.js'
import { willFields, willKey, wills } from '../store/keys.js'
import type { Store } from '../store/store.js'
import { admitOutgoing, REFUSED_FULL, REFUSED_QUOTA, REFUSED_RETAINED } from './admission.js'
import { bytesOf } from './client-api.js'
import { willCost } from './footprint.js'
import { payloadOf, topicOf, viewOf } from './message.js'
import { readWillRecord, writeWillRecord } from './records.js'
import { BY_HOOK, RESERVED, refusalOf, tellRefused } from './refusing.js'
import type { Sessions, SessionWatcher } from './sessions.js'
import type { BrokerState } from './state.js'

/** What a CONNECT says about it. */
export interface WillMessage {
  readonly clientId: string
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Seconds that it waits when the session outlives the connection. */
  readonly delay_s?: number
  /** Seconds that it is worth delivering, from when it is published. */
  readonly expiry_s?: number | undefined
  /** MQTT 5 property block to publish it with, in stored form. */
  readonly properties?: Buffer | undefined
}

/** A stored will. */
export interface Will extends WillMessage {
  /** Tells its row from others of the same client. */
  readonly number: number
}

/** A will whose connection is over, while it waits: for a hook, for its moment, for room on the disk. */
class WaitingWill implements Moment {
  readonly clientId: string
  readonly number: number
  dueAt: number
  slot = -1
  /** The hook has not answered yet. */
  asked = true
  gone = false
  /** It was due and there was no room for it. */
  refused = false
  /** What it says, as long as its row does not say it: until the hook has answered, and `group` is committed. */
  message: Will | null
  group = 0

  constructor(message: Will, dueAt: number) {
    this.clientId = message.clientId
    this.number = message.number
    this.dueAt = dueAt
    this.message = message
  }
}

/** What was refused is tried again after this long. */
const RETRY_MS = 1_000
/** Wills that come due in one turn. */
const DUE_PER_TURN = 256

export class Wills implements SessionWatcher {
  private readonly state: BrokerState
  private readonly store: Store
  private readonly sessions: Sessions
  /** Those that the client's return cancels: one of a client at most. */
  private readonly delayed = new Map<string, WaitingWill>()
  private readonly due = new Moments<WaitingWill>()
  /** Those whose row is on its way to the disk. */
  private unsaved: WaitingWill[] = []
  private refusals = 0
  private nextNumber = 1
  /** Wills that there are, by the key of their row, and what each is charged with. */
  private readonly costs = new Map<number, number>()

  constructor(state: BrokerState, store: Store, sessions: Sessions) {
    this.state = state
    this.store = store
    this.sessions = sessions
  }

  /** Wills that wait for their moment. */
  get waiting(): number {
    return this.due.size
  }

  /** Wills of connections, and those that wait. */
  get size(): number {
    return this.costs.size
  }

  /** The limit that one more will would break, if it would. */
  refuses(clientId: string, topic: string, payload: Buffer): CountedLimit | undefined {
    if (this.costs.size >= this.state.settings.max_wills) return 'mqtt.max_wills'
    return this.sessions.footprint.fits(willCost(clientId, topic, payload), false) ? undefined : 'session.max_memory_bytes'
  }

  /** Stores the will of a connection in the open commit group. */
  add(message: WillMessage): Will {
    const will = { ...message, number: this.nextNumber++ }
    this.charge(will)
    this.write(will, 0, false)
    return will
  }

  /** The client said goodbye, or was never welcome: its will is not sent [MQTT-3.14.4-3]. */
  drop(will: Will): void {
    this.discharge(will.number)
    this.store.journal.del(willKey(will.clientId, will.number))
  }

  /** The connection that brought `will` is over, and its session knows. `client`: that connection, for the hook. */
  end(will: Will, client: unknown): void {
    const delay_s = will.delay_s ?? 0
    const waits = delay_s > 0 && this.sessions.get(will.clientId) !== undefined
    const waiting = new WaitingWill(will, waits ? this.now + delay_s * 1000 : 0)
    if (waits) this.delayed.set(will.clientId, waiting)
    this.ask(waiting, will, client)
  }

  sessionEnded(clientId: string): void {
    const waiting = this.delayed.get(clientId)
    if (waiting === undefined) return
    this.delayed.delete(clientId)
    waiting.dueAt = 0
    if (!waiting.asked) this.publishWaiting(waiting)
    // A later session of that client has nothing to do with it.
    else if (waiting.message !== null) this.write({ ...waiting.message, delay_s: 0 }, this.now, false)
  }

  sessionResumed(clientId: string): void {
    const waiting = this.delayed.get(clientId)
    if (waiting === undefined) return
    this.delayed.delete(clientId)
    if (waiting.dueAt > this.now) this.forget(waiting)
    // Its moment had come, only the sweep had not.
    else if (!waiting.asked) this.publishWaiting(waiting)
  }

  /** Publishes what is due, the earliest first. */
  sweep(): void {
    if (this.unsaved.length > 0) this.letGoOfSaved()
    const { now } = this
    for (let count = 0; count < DUE_PER_TURN && !this.state.turnSpent; count++) {
      const waiting = this.due.firstDue(now)
      if (waiting === undefined) return
      this.publishWaiting(waiting)
    }
  }

  /**
   * At a start, when sessions have been read: the connections of all wills are over. Publishes those that are due. Resolves with their number when they
   * are stored.
   */
  async load(): Promise<number> {
    const { journal, disk } = this.store
    let count = 0
    for await (const row of disk.scan(wills)) {
      const read = this.parse(row.key, row.value)
      if (read === undefined) continue
      const { will, dueAt, judged } = read
      this.nextNumber = Math.max(this.nextNumber, will.number + 1)
      this.charge(will)
      const over = this.sessions.get(will.clientId) === undefined
      const waiting = new WaitingWill(will, over ? 0 : dueAt !== 0 ? dueAt : this.now + (will.delay_s ?? 0) * 1000)
      if (waiting.dueAt > this.now) this.delayed.set(will.clientId, waiting)
      else count++
      if (!judged) this.ask(waiting, will, null)
      else if (waiting.dueAt > this.now) this.restore(waiting)
      else this.judged(waiting, will, null)
      if (journal.congested) await journal.flush()
    }
    await journal.flush()
    return count
  }

  private get now(): number {
    return this.state.clock.now()
  }

  /** Its row is as it should be. */
  private restore(waiting: WaitingWill): void {
    waiting.asked = false
    waiting.message = null
    this.due.place(waiting)
  }

  /** Asks whether it may be published, and how. */
  private ask(waiting: WaitingWill, will: Will, client: unknown): void {
    const { topic, payload, qos, retain } = will
    const packet = { cmd: 'publish', topic, payload, qos, retain, dup: false }
    this.state.hooks.authorizePublish(client, packet, (refused) => {
      if (waiting.gone || this.state.stored?.wills !== this) return
      if (refused) {
        this.state.stats.droppedRefused++
        tellRefused(this.state, BY_HOOK, packet.topic, will.clientId)
        this.forget(waiting)
        // The hook may have changed it.
      } else this.judged(waiting, { ...will, ...packet, payload: bytesOf(packet.payload) }, client)
    })
    if (waiting.asked && !waiting.gone && waiting.dueAt > this.now) this.write(will, waiting.dueAt, false)
  }

  private judged(waiting: WaitingWill, will: Will, client: unknown): void {
    waiting.asked = false
    if (waiting.dueAt <= this.now) {
      this.publish(waiting, will, client)
      return
    }
    this.keep(waiting, will, waiting.dueAt)
  }

  /** It waits from here on; what it says is in memory until its row is on the disk. */
  private keep(waiting: WaitingWill, will: Will, dueAt: number): void {
    this.write(will, dueAt, true)
    waiting.group = this.store.journal.openGroup
    waiting.message = will
    this.unsaved.push(waiting)
    this.due.place(waiting)
  }

  private letGoOfSaved(): void {
    const { committedGroup } = this.store.journal
    this.unsaved = this.unsaved.filter((waiting) => {
      if (waiting.group > committedGroup) return true
      waiting.message = null
      return false
    })
  }

  private publishWaiting(waiting: WaitingWill): void {
    const will = waiting.message ?? this.read(waiting)
    // A program has deleted it, or it is damaged.
    if (will === undefined) this.forget(waiting)
    else this.publish(waiting, will, null)
  }

  /** The message and the end of the stored will are in one group. */
  private publish(waiting: WaitingWill, will: Will, client: unknown): void {
    const { state } = this
    const { stored } = state
    if (stored === null || stored.wills !== this || waiting.gone) return
    if (state.hooks.busy) {
      // A hook closed the client in the middle of an admission, which must end first.
      queueMicrotask(() => this.publish(waiting, will, client))
      return
    }
    const { topic, payload, qos, retain, properties } = will
    if (state.spaces.isClosed(topic)) {
      state.stats.droppedReserved++
      tellRefused(state, RESERVED, topic, will.clientId)
      this.forget(waiting)
      return
    }
    // Its own time begins now.
    const expiresAt = will.expiry_s === undefined ? 0 : this.now + will.expiry_s * 1000
    const message = { topic, payload, qos, retain, properties, expiresAt, oncePerRow: true }
    let outcome = admitOutgoing(state, stored, message, client)
    // Those who are there hear of it now, rather than all later or never.
    if (outcome === REFUSED_RETAINED) outcome = admitOutgoing(state, stored, { ...message, retain: false }, client)
    if ((outcome === REFUSED_FULL || outcome === REFUSED_QUOTA) && this.tryLater(waiting, will)) return
    this.forget(waiting)
    if (typeof outcome === 'number' && outcome >= 0) state.stats.willsPublished++
    else {
      state.stats.willsDropped++
      const refusal = typeof outcome === 'number' ? refusalOf(outcome) : { ...RESERVED, why: outcome }
      tellRefused(state, refusal, topic, will.clientId)
    }
  }

  /** There is no room for it now. False when too many wait for that already. */
  private tryLater(waiting: WaitingWill, will: Will): boolean {
    const { now } = this
    if (!waiting.refused && this.refusals >= WILLS_REFUSED_MAX) return false
    waiting.dueAt = now + RETRY_MS
    if (waiting.refused) {
      this.due.place(waiting)
      return true
    }
    waiting.refused = true
    this.refusals++
    if (this.delayed.get(will.clientId) === waiting) this.delayed.delete(will.clientId)
    this.keep(waiting, { ...will, delay_s: 0 }, now)
    return true
  }

  private forget(waiting: WaitingWill): void {
    waiting.gone = true
    waiting.message = null
    this.due.delete(waiting)
    if (this.delayed.get(waiting.clientId) === waiting) this.delayed.delete(waiting.clientId)
    if (waiting.refused) this.refusals--
    this.discharge(waiting.number)
    this.store.journal.del(willKey(waiting.clientId, waiting.number))
  }

  private charge({ number, clientId, topic, payload }: Will): void {
    // Those that programs made through Aedes's persistence contract have no number of their own; they are gone after a start.
    if (number === 0) return
    const cost = willCost(clientId, topic, payload)
    this.costs.set(number, cost)
    this.sessions.footprint.bytes += cost
  }

  private discharge(number: number): void {
    this.sessions.footprint.bytes -= this.costs.get(number) ?? 0
    this.costs.delete(number)
  }

  private write(will: Will, dueAt: number, judged: boolean): void {
    const { clientId, number, topic, payload, qos, retain, delay_s = 0, expiry_s, properties } = will
    const view = viewOf(Buffer.from(topic), payload, this.now, properties)
    const row = writeWillRecord({ message: { view, qos, retain, fields: undefined }, delay_s, dueAt, expiry_s, judged })
    this.store.journal.put(willKey(clientId, number), row)
  }

  private read(waiting: WaitingWill): Will | undefined {
    const key = willKey(waiting.clientId, waiting.number)
    try {
      const value = this.store.disk.getSync(key)
      return value === undefined ? undefined : this.parse(key, value)?.will
    } catch (error) {
      if (!hasCode(error, 'store_damaged')) throw error
      this.state.log.error({ client: waiting.clientId }, 'the will of a client is damaged on the disk: it is not published')
      return undefined
    }
  }

  /** Undefined, counted and said, when it cannot be read. */
  private parse(key: Buffer, value: Buffer): { will: Will; dueAt: number; judged: boolean } | undefined {
    try {
      return readWill(key, value)
    } catch (error) {
      if (!hasCode(error, 'store_damaged')) throw error
      this.store.damage.note({ key })
      return undefined
    }
  }
}

function readWill(key: Buffer, value: Buffer): { will: Will; dueAt: number; judged: boolean } {
  const { message, delay_s, dueAt, expiry_s, judged } = readWillRecord(value)
  const { view, qos, retain } = message
  const { clientId, number } = willFields(key)
  const said = { topic: topicOf(view), payload: payloadOf(view), qos, retain, delay_s, expiry_s, properties: view.properties }
  return { will: { clientId: clientId.toString(), number, ...said }, dueAt, judged }
}
