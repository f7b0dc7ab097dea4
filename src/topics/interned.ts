/**
 * Topics that were seen before, found again by their bytes: the hot path of an incoming PUBLISH.
 *
 * A hit reads the bytes twice (hash, comparison) and builds nothing. The table is a memory, not a register: it is bounded in topics
 * and bytes, forgets without telling, and a `Topic` that it forgot stays as good as before; there may then be two of one name. So
 * whatever is hung on a `Topic` must be able to be found again, and be checked by a version.
 */
import { STRING_BYTES_MAX } from '../core/limits.js'

/** One topic name, with room for what its users found out about it. */
export class Topic {
  readonly name: string
  /** The name in UTF-8; the topic's own copy. */
  readonly bytes: Buffer
  /** Starts with `$`: leading wildcards do not match it, and it may be reserved. */
  readonly dollar: boolean
  readonly levels: number
  /** What the router matched, valid while `routeVersion` is the router's version. */
  route: unknown = undefined
  routeVersion = -1
  /** A slot for the keeper of retained messages. */
  retained: unknown = undefined

  constructor(name: string, bytes: Buffer, levels: number) {
    this.name = name
    this.bytes = bytes
    this.dollar = bytes[0] === DOLLAR
    this.levels = levels
  }

  /** Whether bytes `start` ≤ i < `end` of `buf` are this name. Cheaper than the table when a connection repeats its last topic. */
  is(buf: Buffer, start: number, end: number): boolean {
    return sameBytes(this.bytes, buf, start, end)
  }
}

export interface TopicTableOptions {
  /** Topics remembered before all are forgotten. */
  topics_max: number
  /** Levels that a name may have. */
  levels_max: number
  /** Bytes remembered, names and what `charge` adds, before all are forgotten. */
  bytes_max?: number
  /** Whether bytes `start` ≤ i < `end` are well-formed UTF-8 without surrogates [MQTT-1.5.4-1]. */
  isUtf8(buf: Buffer, start: number, end: number): boolean
}

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23
const DOLLAR = 0x24

const BYTES_MAX = 64 * 1024 * 1024
/** What a topic holds beside its name, roughly: object, string and buffer headers, its place in the table. */
const TOPIC_BYTES = 300
const CAPACITY_MIN = 256
/** Places looked at for one hash. Beyond it a topic takes the place of another: colliding names cost a bounded search, not a long one. */
const PROBES_MAX = 16
/** Longer names are compared by the runtime's own compare; below it the call costs more than the loop. */
const LOOP_BYTES_MAX = 96
const SCRATCH_BYTES = 1024

export class TopicTable {
  private readonly options: TopicTableOptions
  private readonly bytes_max: number
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  private slots: (Topic | undefined)[] = []
  private hashes = new Int32Array(0)
  private mask = 0
  private count = 0
  private bytes = 0
  private resets = 0

  constructor(options: TopicTableOptions) {
    this.options = options
    this.bytes_max = options.bytes_max ?? BYTES_MAX
    this.allot(CAPACITY_MIN)
  }

  /** Topics remembered now. */
  get size(): number {
    return this.count
  }

  /** How often everything was forgotten: if this grows fast, the bounds are too small for the topics in use. */
  get forgotten(): number {
    return this.resets
  }

  /**
   * The topic whose name is the bytes `start` ≤ i < `end` of `buf`, made on first sight (with a copy of the bytes). Undefined when
   * they are no valid topic name: empty, longer than 65,535 bytes, a wildcard, U+0000, no UTF-8, or more than `levels_max` levels.
   */
  intern(buf: Buffer, start: number, end: number): Topic | undefined {
    const hash = hashBytes(buf, start, end)
    const { slots, hashes, mask } = this
    for (let i = hash & mask, probes = 0; probes < PROBES_MAX; i = (i + 1) & mask, probes++) {
      const topic = slots[i]
      if (topic === undefined) break
      if (hashes[i] === hash && sameBytes(topic.bytes, buf, start, end)) return topic
    }
    return this.learn(hash, buf, start, end)
  }

  /** As `intern`, for a name that is a string. */
  internName(name: string): Topic | undefined {
    // Three bytes per UTF-16 unit at most: what fits is encoded without an allocation.
    const buf = name.length * 3 <= SCRATCH_BYTES ? this.scratch : Buffer.allocUnsafeSlow(Buffer.byteLength(name))
    const length = buf.write(name, 0, 'utf8')
    const topic = this.intern(buf, 0, length)
    // Encoding replaces half a surrogate pair by U+FFFD: then the bytes are a name, but not this one.
    return topic !== undefined && topic.name === name ? topic : undefined
  }

  /** True when bytes `start` ≤ i < `end` have more than `levels_max` levels: tells this reason apart from the others of `intern`. */
  tooDeep(buf: Buffer, start: number, end: number): boolean {
    let levels = 1
    for (let i = start; i < end; i++) if (buf[i] === SLASH) levels++
    return levels > this.options.levels_max
  }

  /**
   * Counts `bytes` more towards the table's bound, for what its user hung on a topic (a route to a thousand subscribers is larger
   * than any name). May forget everything.
   */
  charge(bytes: number): void {
    this.bytes += bytes
    if (this.bytes > this.bytes_max) this.forget()
  }

  /** Forgets every topic. Those that are held elsewhere stay usable. */
  forget(): void {
    this.resets++
    this.count = 0
    this.bytes = 0
    this.allot(CAPACITY_MIN)
  }

  private learn(hash: number, buf: Buffer, start: number, end: number): Topic | undefined {
    const length = end - start
    if (length <= 0 || length > STRING_BYTES_MAX) return undefined
    let levels = 1
    for (let i = start; i < end; i++) {
      const b = buf[i]
      if (b === SLASH) levels++
      else if (b === PLUS || b === HASH || b === 0) return undefined
    }
    if (levels > this.options.levels_max || !this.options.isUtf8(buf, start, end)) return undefined
    const copy = Buffer.allocUnsafe(length)
    buf.copy(copy, 0, start, end)
    const topic = new Topic(copy.toString('utf8'), copy, levels)
    const cost = length * 2 + TOPIC_BYTES
    if (this.count >= this.options.topics_max || this.bytes + cost > this.bytes_max) this.forget()
    this.bytes += cost
    if ((this.count + 1) * 2 > this.slots.length) this.grow()
    if (place(this.slots, this.hashes, topic, hash)) this.count++
    return topic
  }

  private grow(): void {
    const { slots, hashes } = this
    this.allot(slots.length * 2)
    this.count = 0
    for (let i = 0; i < slots.length; i++) {
      const topic = slots[i]
      if (topic !== undefined && place(this.slots, this.hashes, topic, hashes[i])) this.count++
    }
  }

  private allot(capacity: number): void {
    this.slots = new Array<Topic | undefined>(capacity).fill(undefined)
    this.hashes = new Int32Array(capacity)
    this.mask = capacity - 1
  }
}

/** Puts a topic that is not in the table into it. False when it took the place of another, which is thereby forgotten. */
function place(slots: (Topic | undefined)[], hashes: Int32Array, topic: Topic, hash: number): boolean {
  const mask = slots.length - 1
  let i = hash & mask
  for (let probes = 0; probes < PROBES_MAX && slots[i] !== undefined; probes++) i = (i + 1) & mask
  const free = slots[i] === undefined
  if (!free) i = hash & mask
  slots[i] = topic
  hashes[i] = hash
  return free
}

/** Four bytes a step: a multiplication waits for the one before it, so fewer of them is what counts. */
function hashBytes(buf: Buffer, start: number, end: number): number {
  let h = end - start
  let i = start
  for (const whole = end - 3; i < whole; i += 4) {
    h = Math.imul(h ^ (buf[i] | (buf[i + 1] << 8) | (buf[i + 2] << 16) | (buf[i + 3] << 24)), 0x9e3779b1)
    // A product carries upwards only; without this the first byte would never see the last ones.
    h ^= h >>> 15
  }
  for (; i < end; i++) h = Math.imul(h ^ buf[i], 0x9e3779b1)
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  return h ^ (h >>> 13)
}

function sameBytes(bytes: Buffer, buf: Buffer, start: number, end: number): boolean {
  const length = bytes.length
  if (length !== end - start) return false
  if (length > LOOP_BYTES_MAX) return buf.compare(bytes, 0, length, start, end) === 0
  for (let i = 0; i < length; i++) if (bytes[i] !== buf[start + i]) return false
  return true
}
