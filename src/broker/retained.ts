/**
 * Retained messages: the last one of each topic, for those who subscribe later.
 *
 * Always true:
 * - every retained topic is in the tree; its message is in memory, or (beyond RETAINED_CACHE_BYTES_MAX, once committed) in the store only;
 * - `$SYS` topics are kept in memory and never stored, so that an idle broker does not write;
 * - `serial` grows with each change: who replays for a new subscription skips what changed since, as it was delivered live;
 * - one that has expired is nobody's any more from that moment on; the sweep takes it away some time later.
 */
import type { Clock } from '../core/clock.js'
import { AqueductError, hasCode } from '../core/errors.js'
import { RETAINED_CACHE_BYTES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import { type Moment, Moments } from '../core/moments.js'
import type { CheckedDisk } from '../store/checked.js'
import type { Journal } from '../store/journal.js'
import { retainedKey, retained as retainedRows, textOf } from '../store/keys.js'
import { type MessageView, messageBytes } from '../store/message.js'
import { TopicTree } from '../topics/tree.js'
import { copyOf, type Inbound } from './message.js'
import { type MessageRecord, readMessageRecord, writeMessageRecord } from './records.js'
import type { BrokerStats } from './stats.js'

/** Expired ones that are taken away in one turn. */
const EXPIRED_PER_TURN = 256

export class RetainedMessage implements Moment {
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly serial: number
  /** Commit group that stores it; 0 when it already is, or never will be. */
  readonly group: number
  /** Null when it has to be read from the store. */
  view: MessageView | null
  /** What a program gave with it beside a message's own fields, or undefined. */
  fields: Buffer | undefined = undefined
  /** When it expires: milliseconds since 1970, 0 for never. */
  readonly dueAt: number
  slot = -1
  constructor(topic: string, qos: 0 | 1 | 2, serial: number, group: number, expiresAt: number, view: MessageView | null) {
    this.topic = topic
    this.qos = qos
    this.serial = serial
    this.group = group
    this.dueAt = expiresAt
    this.view = view
  }
}

export interface RetainedOptions {
  readonly journal: Journal
  readonly disk: CheckedDisk
  readonly clock: Clock
  readonly stats: BrokerStats
  readonly log: Log
}

export class RetainedMessages {
  private readonly tree = new TopicTree<RetainedMessage>()
  /** Those that expire. */
  private readonly ends = new Moments<RetainedMessage>()
  private readonly journal: Journal
  private readonly disk: CheckedDisk
  private readonly clock: Clock
  private readonly stats: BrokerStats
  private readonly log: Log
  private cachedBytes = 0
  /** In the order in which they came into memory; the front leaves first. */
  private cached: RetainedMessage[] = []
  private cachedFrom = 0
  serial = 0

  constructor(o: RetainedOptions) {
    this.journal = o.journal
    this.disk = o.disk
    this.clock = o.clock
    this.stats = o.stats
    this.log = o.log
  }

  get size(): number {
    return this.tree.size
  }

  /** Reads all of them from the store; payloads only while they fit. */
  async load(): Promise<void> {
    for await (const row of this.disk.scan(retainedRows)) {
      const topic = textOf(row.key).toString()
      const record = this.parse(topic, row.value)
      if (record === undefined) continue
      const fits = this.cachedBytes + row.value.length <= RETAINED_CACHE_BYTES_MAX
      const { expiresAt } = record.view
      const kept = new RetainedMessage(topic, record.qos, 0, 0, expiresAt, fits ? record.view : null)
      // A copy: the row must be able to leave memory.
      if (record.fields !== undefined) kept.fields = Buffer.from(record.fields)
      this.tree.set(topic, kept)
      if (expiresAt !== 0) this.ends.place(kept)
      if (fits) this.remember(kept)
    }
  }

  /** Takes the message as the last of its topic, or forgets the topic when the payload is empty [MQTT-3.3.1-10]. True when a commit stores it. */
  set(m: Inbound, fields?: Buffer): boolean {
    const name = m.topic.name
    const stored = !name.startsWith('$SYS/')
    if (m.payloadStart === m.end) {
      const old = this.tree.get(name)
      if (old === undefined) return false
      this.forget(old)
      this.tree.delete(name)
      this.serial++
      if (stored) this.journal.del(retainedKey(name))
      return stored
    }
    const view = copyOf(m)
    const old = this.tree.get(name)
    if (old !== undefined) this.forget(old)
    const group = stored ? this.journal.openGroup : 0
    const kept = new RetainedMessage(name, m.qos, ++this.serial, group, view.expiresAt, view)
    kept.fields = fields
    this.tree.set(name, kept)
    if (kept.dueAt !== 0) this.ends.place(kept)
    if (stored) {
      this.journal.put(retainedKey(name), writeMessageRecord(view, m.qos, true, fields))
      this.remember(kept)
    }
    return stored
  }

  get(topic: string): RetainedMessage | undefined {
    return this.tree.get(topic)
  }

  /** Matching ones, lazily; wildcards never touch a payload. */
  match(filter: string): Iterable<[string, RetainedMessage]> {
    return this.tree.match(filter)
  }

  /** Takes away what has expired, the earliest first; a great many not in one turn. Nobody waits for that to be stored. */
  expire(): void {
    const now = this.clock.now()
    for (let count = 0; count < EXPIRED_PER_TURN; count++) {
      const kept = this.ends.firstDue(now)
      if (kept === undefined) return
      this.forget(kept)
      this.tree.delete(kept.topic)
      this.serial++
      this.stats.retainedExpired++
      if (!kept.topic.startsWith('$SYS/')) this.journal.delLazily(retainedKey(kept.topic))
    }
  }

  /** The message itself, from memory or from the store. Undefined when it has expired, or was replaced or removed meanwhile. */
  read(kept: RetainedMessage): MessageView | undefined {
    if (kept.dueAt !== 0 && kept.dueAt <= this.clock.now()) return undefined
    if (kept.view !== null) return kept.view
    if (this.tree.get(kept.topic) !== kept) return undefined
    const { topic } = kept
    let value: Buffer | undefined
    try {
      value = this.disk.getSync(retainedKey(topic))
    } catch (error) {
      if (!(error instanceof AqueductError)) throw error
      if (error.code !== 'store_damaged') {
        this.log.error({ err: error, topic }, 'a retained message cannot be read now; a subscriber did not get it')
        return undefined
      }
    }
    const view = value === undefined ? undefined : this.parse(topic, value)?.view
    if (view === undefined) this.lose(kept)
    return view
  }

  /** Undefined, and counted, when the record is none. */
  private parse(topic: string, value: Buffer): MessageRecord | undefined {
    try {
      return readMessageRecord(value)
    } catch (error) {
      if (!hasCode(error, 'store_damaged')) throw error
      this.disk.damage.note({ key: retainedKey(topic) })
      return undefined
    }
  }

  /** Its row is damaged or gone: the topic has none any more. The row stays for whoever looks into it, until the next message of the topic. */
  private lose(kept: RetainedMessage): void {
    this.log.error({ topic: kept.topic }, 'a retained message is damaged on the disk: its topic has none any more')
    this.forget(kept)
    this.tree.delete(kept.topic)
    this.serial++
  }

  private remember(kept: RetainedMessage): void {
    this.cached.push(kept)
    this.cachedBytes += cost(kept)
    while (this.cachedBytes > RETAINED_CACHE_BYTES_MAX) {
      const first = this.cached[this.cachedFrom]
      // Not committed yet: the store cannot answer for it.
      if (first === undefined || first.group > this.journal.committedGroup) break
      this.cachedFrom++
      if (first.view === null) continue
      this.cachedBytes -= cost(first)
      first.view = null
    }
    if (this.cachedFrom > 1024 && this.cachedFrom * 2 > this.cached.length) {
      this.cached = this.cached.slice(this.cachedFrom)
      this.cachedFrom = 0
    }
  }

  private forget(old: RetainedMessage): void {
    if (old.slot >= 0) this.ends.delete(old)
    if (old.view === null) return
    if (!old.topic.startsWith('$SYS/')) this.cachedBytes -= cost(old)
    old.view = null
  }
}

function cost(kept: RetainedMessage): number {
  return kept.view === null ? 0 : messageBytes(kept.view) + 200
}
