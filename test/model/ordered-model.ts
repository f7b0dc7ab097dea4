/** What an ordered queue should do, said as plainly as possible: one array, no index, no disk, no pages. */
import type { QueueAttributes } from '../../src/queue/attributes.js'

export interface ModelEntry {
  text: string
  place: number
  priority: number
  key: string
  due: number
  expiresAt: number
  attempts: number
  /** '' while it waits. */
  receipt: string
  until: number
  bytes: number
}

export interface ModelSend {
  text: string
  bytes: number
  priority: number
  key: string
  delay_ms: number
  dedupId: string
  expiresAt: number
}

export class OrderedModel {
  entries: ModelEntry[] = []
  dead: ModelEntry[] = []
  ids = new Map<string, number>()
  next = 1
  readonly a: QueueAttributes

  constructor(a: QueueAttributes) {
    this.a = a
  }

  copy(): OrderedModel {
    const m = new OrderedModel(this.a)
    m.entries = this.entries.map((e) => ({ ...e }))
    m.dead = this.dead.map((e) => ({ ...e }))
    m.ids = new Map(this.ids)
    m.next = this.next
    return m
  }

  /** First of its FIFO key (whatever state), or not bound by one. */
  private isHead(e: ModelEntry): boolean {
    return !this.a.fifo || e.key === '' || !this.entries.some((o) => o.key === e.key && o.place < e.place)
  }

  get leased(): ModelEntry[] {
    return this.entries.filter((e) => e.receipt !== '')
  }

  delayed(now: number): ModelEntry[] {
    return this.entries.filter((e) => e.receipt === '' && this.isHead(e) && e.due > now)
  }

  /** Waits for its moment neither, but perhaps for its key. */
  ready(now: number): ModelEntry[] {
    return this.entries.filter((e) => e.receipt === '' && !(this.isHead(e) && e.due > now))
  }

  eligible(now: number): ModelEntry[] {
    return this.entries
      .filter((e) => e.receipt === '' && e.due <= now && this.isHead(e))
      .sort((x, y) => x.priority - y.priority || x.place - y.place)
  }

  tick(now: number): void {
    for (;;) {
      const ended = this.leased.filter((e) => e.until <= now).sort((x, y) => x.until - y.until)[0]
      if (ended === undefined) break
      this.giveBack(ended, 0, now)
    }
    this.entries = this.entries.filter((e) => e.receipt !== '' || e.expiresAt === 0 || e.expiresAt > now)
    // What was due once stays so, also when the clock is set back.
    for (const e of this.entries) if (e.receipt === '' && e.due <= now && this.isHead(e)) e.due = 0
  }

  send(m: ModelSend, now: number): 'stored' | 'duplicate' | 'refused' | 'dropped_newest' {
    this.tick(now)
    if (m.dedupId !== '' && (this.ids.get(m.dedupId) ?? 0) > now) return 'duplicate'
    const full = () =>
      this.entries.length + 1 > this.a.max_messages || this.entries.reduce((n, e) => n + e.bytes, 0) + m.bytes > this.a.max_bytes
    while (full()) {
      if (this.a.overflow === 'drop_newest') return 'dropped_newest'
      const lanes = this.eligible(now)
      const lowest = Math.max(...lanes.map((e) => e.priority))
      const oldest =
        lanes.find((e) => e.priority === lowest) ?? this.delayed(now).sort((x, y) => x.due - y.due || x.place - y.place)[0]
      if (this.a.overflow === 'reject' || oldest === undefined) return 'refused'
      this.remove(oldest)
    }
    const keep = this.a.retention_s === 0 ? 0 : now + this.a.retention_s * 1000
    const expiresAt = keep === 0 || m.expiresAt === 0 ? keep || m.expiresAt : Math.min(keep, m.expiresAt)
    if (this.a.last_value && m.key !== '') this.entries = this.entries.filter((e) => e.key !== m.key || e.receipt !== '')
    const { text, bytes, priority, key } = m
    const due = m.delay_ms > 0 ? now + m.delay_ms : 0
    this.entries.push({ text, bytes, priority, key, place: this.next++, due, expiresAt, attempts: 0, receipt: '', until: 0 })
    if (m.dedupId !== '') this.ids.set(m.dedupId, now + this.a.dedup_window_s * 1000)
    return 'stored'
  }

  lease(e: ModelEntry, receipt: string, lease_ms: number, now: number): void {
    e.receipt = receipt
    e.attempts++
    e.until = now + lease_ms
  }

  holder(receipt: string, now: number): ModelEntry | undefined {
    this.tick(now)
    return this.entries.find((e) => e.receipt === receipt && e.until > now)
  }

  giveBack(e: ModelEntry, delay_ms: number, now: number): void {
    if (this.a.max_attempts > 0 && e.attempts >= this.a.max_attempts) {
      this.remove(e)
      this.dead.push({ ...e, receipt: '' })
      return
    }
    if (e.expiresAt !== 0 && e.expiresAt <= now) {
      this.remove(e)
      return
    }
    if (this.a.last_value && e.key !== '') {
      const waits = this.entries.find((o) => o !== e && o.key === e.key && o.receipt === '')
      if (waits !== undefined) {
        const older = waits.place < e.place ? waits : e
        this.remove(older)
        if (older === e) return
      }
    }
    e.receipt = ''
    e.due = delay_ms > 0 ? now + delay_ms : 0
  }

  remove(e: ModelEntry): void {
    this.entries = this.entries.filter((o) => o !== e)
  }

  purge(now: number): number {
    this.tick(now)
    const before = this.entries.length
    this.entries = this.leased
    return before - this.entries.length
  }

  /** The dead, in the order of `texts`, come home. */
  redrive(texts: readonly string[], now: number): void {
    for (const text of texts) {
      const i = this.dead.findIndex((e) => e.text === text)
      const [e] = this.dead.splice(i, 1)
      const { bytes, priority, key } = e
      this.send({ text, bytes, priority, key, delay_ms: 0, dedupId: '', expiresAt: 0 }, now)
    }
  }
}
