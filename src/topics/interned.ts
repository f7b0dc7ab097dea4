/**
 * Topics that were seen before, found again by their bytes: the hot path of an incoming PUBLISH.
 *
 * A hit reads the bytes twice (hash, comparison), four at a time, and builds nothing. The table is a memory, not a register: it is bounded in topics
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
  /** What the route was charged with. */
  routeBytes = 0
  /** The life of the table in which it knew this topic: it begins one with each time that it forgets. */
  readonly life: number

  constructor(name: string, bytes: Buffer, levels: number, life = -1) {
    this.name = name
    this.bytes = bytes
    this.life = life
    this.dollar = bytes[0] === DOLLAR
    this.levels = levels
  }
}

export interface TopicTableOptions {
  /** Topics remembered before all are forgotten. */
  topics_max: number
  /** Levels that a name may have. */
  levels_max: number
  /** Bytes remembered, names and what `charge` adds, before all are forgotten: in memory, not of UTF-8. */
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
const TOPIC_BYTES = 320
const CAPACITY_MIN = 256
const WORDS_MIN = 2_048
/** Places looked at for one hash. Beyond it a topic takes the place of another: colliding names cost a bounded search, not a long one. */
const PROBES_MAX = 16
/** Names are kept together in blocks of their own: of the shared pool each would hold on to a piece with who knows what in it. */
const BLOCK_BYTES = 16_384
const BLOCK_NAME_BYTES_MAX = 1_024
const SCRATCH_BYTES = 1_024

export class TopicTable {
  private readonly options: TopicTableOptions
  private readonly bytes_max: number
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  private readonly scratchView = viewOf(this.scratch)
  /* The buffer that was read last, and words of it: as a rule all reads of a process come in one buffer. */
  private read: Buffer
  private readView: DataView
  /* The table: open addressing. Per row the hash and the place of the bytes in `words`, 0 for an empty row; and the topic. */
  private rows = new Int32Array(0)
  private topics: (Topic | undefined)[] = []
  private mask = 0
  /** For each topic its length in bytes, then its bytes by four, little-endian, the last word filled up with zeros. */
  private words = new Int32Array(0)
  private used = 1
  private block: Buffer | null = null
  private blockUsed = 0
  private count = 0
  private bytes = 0
  private resets = 0

  constructor(options: TopicTableOptions) {
    this.options = options
    this.bytes_max = options.bytes_max ?? BYTES_MAX
    this.read = this.scratch
    this.readView = this.scratchView
    this.empty()
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
    if (buf !== this.read) {
      this.read = buf
      this.readView = viewOf(buf)
    }
    return this.find(this.readView, buf, start, end)
  }

  /** As `intern`, for a name that is a string. */
  internName(name: string): Topic | undefined {
    // Three bytes per UTF-16 unit at most: what fits is encoded without an allocation.
    const short = name.length * 3 <= SCRATCH_BYTES
    const buf = short ? this.scratch : Buffer.from(name)
    const length = short ? buf.write(name, 0, 'utf8') : buf.length
    const topic = this.find(short ? this.scratchView : viewOf(buf), buf, 0, length)
    // Encoding replaces half a surrogate pair by U+FFFD: then the bytes are a name, but not this one.
    return topic !== undefined && topic.name === name ? topic : undefined
  }

  /** True when bytes `start` ≤ i < `end` have more than `levels_max` levels: tells this reason apart from the others of `intern`. */
  tooDeep(buf: Buffer, start: number, end: number): boolean {
    let levels = 1
    for (let i = start; i < end; i++) if (buf[i] === SLASH) levels++
    return levels > this.options.levels_max
  }

  /** Bytes that count towards the bound now. */
  get heldBytes(): number {
    return this.bytes
  }

  /**
   * Hangs a route on `topic` and counts `bytes` for it towards the table's bound, in place of the one before (a route to a thousand subscribers is larger
   * than any name). May forget everything.
   */
  hang(topic: Topic, route: unknown, version: number, bytes: number): void {
    topic.route = route
    topic.routeVersion = version
    if (topic.life !== this.resets) return
    this.bytes += bytes - topic.routeBytes
    topic.routeBytes = bytes
    if (this.bytes > this.bytes_max) this.forget()
  }

  /** Takes off the routes that are not of `version`: they are of no use, and hold on to subscribers that may be gone. */
  dropRoutes(version: number): void {
    for (const topic of this.topics) {
      if (topic === undefined || topic.route === undefined || topic.routeVersion === version) continue
      topic.route = undefined
      this.bytes -= topic.routeBytes
      topic.routeBytes = 0
    }
  }

  /** `topic` itself while it is known, else the one that has its name now: for who keeps one for long (`hang`). */
  current(topic: Topic): Topic | undefined {
    return topic.life === this.resets ? topic : this.intern(topic.bytes, 0, topic.bytes.length)
  }

  /** Forgets every topic. Those that are held elsewhere stay usable, without their routes. */
  forget(): void {
    for (const topic of this.topics) if (topic !== undefined) topic.route = undefined
    this.resets++
    this.empty()
  }

  /** `view` is `buf` once more, read by words: one load instead of four, which is most of what a hit costs. */
  private find(view: DataView, buf: Buffer, start: number, end: number): Topic | undefined {
    const length = end - start
    const whole = start + (length & ~3)
    let hash = length
    for (let i = start; i < whole; i += 4) {
      hash = Math.imul(hash ^ view.getInt32(i, true), 0x9e3779b1)
      // A product carries upwards only; without this the low bits would never learn of the last byte of a word.
      hash ^= hash >>> 15
    }
    const tail = tailWord(view, whole, end)
    hash = Math.imul(hash ^ tail, 0x9e3779b1)
    hash ^= hash >>> 16
    hash = Math.imul(hash, 0x85ebca6b)
    hash ^= hash >>> 13

    const { rows, mask, words } = this
    search: for (let i = hash & mask, probes = 0; probes < PROBES_MAX; i = (i + 1) & mask, probes++) {
      let w = rows[2 * i + 1]
      if (w === 0) break
      if (rows[2 * i] !== hash || words[w++] !== length) continue
      for (let k = start; k < whole; k += 4) if (words[w++] !== view.getInt32(k, true)) continue search
      if (whole === end || words[w] === tail) return this.topics[i]
    }
    return this.learn(hash, view, buf, start, end)
  }

  private learn(hash: number, view: DataView, buf: Buffer, start: number, end: number): Topic | undefined {
    const length = end - start
    if (length <= 0 || length > STRING_BYTES_MAX) return undefined
    let levels = 1
    for (let i = start; i < end; i++) {
      const b = buf[i]
      if (b === SLASH) levels++
      else if (b === PLUS || b === HASH || b === 0) return undefined
    }
    if (levels > this.options.levels_max || !this.options.isUtf8(buf, start, end)) return undefined
    const cost = length * 3 + TOPIC_BYTES
    if (this.count >= this.options.topics_max || this.bytes + cost > this.bytes_max) this.forget()
    const bytes = this.room(length)
    buf.copy(bytes, 0, start, end)
    this.bytes += cost
    const topic = new Topic(bytes.toString('utf8'), bytes, levels, this.resets)
    if ((this.count + 1) * 2 > this.topics.length) this.grow()
    this.place(topic, hash, this.keepWords(view, start, end))
    return topic
  }

  private room(length: number): Buffer {
    if (length > BLOCK_NAME_BYTES_MAX) return Buffer.allocUnsafeSlow(length)
    if (this.block === null || this.blockUsed + length > this.block.length) {
      this.block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      this.blockUsed = 0
    }
    const from = this.blockUsed
    this.blockUsed += length
    return this.block.subarray(from, this.blockUsed)
  }

  /** Copies the bytes into `words`; returns where. */
  private keepWords(view: DataView, start: number, end: number): number {
    const length = end - start
    const at = this.used
    this.used += 1 + ((length + 3) >> 2)
    if (this.used > this.words.length) {
      const wider = new Int32Array(Math.max(this.words.length * 2, this.used))
      wider.set(this.words)
      this.words = wider
    }
    const { words } = this
    const whole = start + (length & ~3)
    let w = at
    words[w++] = length
    for (let i = start; i < whole; i += 4) words[w++] = view.getInt32(i, true)
    if (whole < end) words[w] = tailWord(view, whole, end)
    return at
  }

  /** Gives a topic its row; where all rows for its hash are taken, the last of them, whose topic is thereby forgotten. */
  private place(topic: Topic, hash: number, at: number): void {
    const { rows, topics, mask } = this
    let i = hash & mask
    for (let probes = 1; probes < PROBES_MAX && topics[i] !== undefined; probes++) i = (i + 1) & mask
    if (topics[i] === undefined) this.count++
    topics[i] = topic
    rows[2 * i] = hash
    rows[2 * i + 1] = at
  }

  private grow(): void {
    const { rows, topics } = this
    this.allot(topics.length * 2)
    for (let i = 0; i < topics.length; i++) {
      const topic = topics[i]
      if (topic !== undefined) this.place(topic, rows[2 * i], rows[2 * i + 1])
    }
  }

  private empty(): void {
    this.bytes = 0
    this.used = 1
    this.block = null
    this.words = new Int32Array(WORDS_MIN)
    this.allot(CAPACITY_MIN)
  }

  private allot(capacity: number): void {
    this.count = 0
    this.rows = new Int32Array(capacity * 2)
    this.topics = new Array<Topic | undefined>(capacity).fill(undefined)
    this.mask = capacity - 1
  }
}

function viewOf(buf: Buffer): DataView {
  return new DataView(buf.buffer, buf.byteOffset, buf.length)
}

/** The last, incomplete word: up to three bytes, 0 when there are none. */
function tailWord(view: DataView, at: number, end: number): number {
  if (at >= end) return 0
  let word = view.getUint8(at)
  if (at + 1 < end) {
    word |= view.getUint8(at + 1) << 8
    if (at + 2 < end) word |= view.getUint8(at + 2) << 16
  }
  return word
}
