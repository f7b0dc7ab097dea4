/** What an ordered queue should do, said as plainly as possible: one array, no index, no disk, no pages. */
import type { QueueAttributes } from '../../src/queue/attributes.js'

export interface ModelEntry {
  text: string
  /** In the order in which messages were accepted anywhere: a dead letter keeps it. */
  accepted: number
  acceptedAt: number
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

export type ModelOutcome = 'stored' | 'duplicate' | 'refused' | 'dropped_newest'

export class OrderedModel {
  entries: ModelEntry[] = []
  /** Acknowledged and kept. */
  retained: ModelEntry[] = []
  dead: ModelEntry[] = []
  ids = new Map<string, number>()
  next = 1
  accepted = 1
  a: QueueAttributes

  constructor(a: QueueAttributes) {
    this.a = a
  }

  copy(): OrderedModel {
    const m = new OrderedModel(this.a)
    m.entries = this.entries.map((e) => ({ ...e }))
    m.retained = this.retained.map((e) => ({ ...e }))
    m.dead = this.dead.map((e) => ({ ...e }))
    m.ids = new Map(this.ids)
    m.next = this.next
    m.accepted = this.accepted
    return m
  }

  /* ---- who is where ---- */

  get leased(): ModelEntry[] {
    return this.entries.filter((e) => e.receipt !== '')
  }

  /** Nobody of its FIFO key is leased or before it. */
  private isHead(e: ModelEntry): boolean {
    if (!this.a.fifo || e.key === '') return true
    return !this.entries.some((o) => o !== e && o.key === e.key && (o.receipt !== '' || o.place < e.place))
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

  /** The one that goes to make room: of the least urgent the oldest, a leased one and what is behind a waiting one of its key never. */
  private oldest(now: number): ModelEntry | undefined {
    const delayed = this.delayed(now)
    const first = this.entries.filter(
      (e) =>
        e.receipt === '' &&
        !delayed.includes(e) &&
        !(this.a.fifo && e.key !== '' && this.entries.some((o) => o.key === e.key && o.receipt === '' && o.place < e.place)),
    )
    const wake = (e: ModelEntry): number => (e.expiresAt === 0 ? e.due : Math.min(e.due, e.expiresAt))
    return (
      first.sort((x, y) => y.priority - x.priority || x.place - y.place)[0] ??
      delayed.sort((x, y) => wake(x) - wake(y) || x.place - y.place)[0]
    )
  }

  private waitingOf(key: string): ModelEntry | undefined {
    return this.a.last_value && key !== '' ? this.entries.find((e) => e.key === key && e.receipt === '') : undefined
  }

  remove(e: ModelEntry): void {
    this.entries = this.entries.filter((o) => o !== e)
  }

  /* ---- time ---- */

  tick(now: number): void {
    for (;;) {
      const ended = this.leased.filter((e) => e.until <= now).sort((x, y) => x.until - y.until)[0]
      if (ended === undefined) break
      this.giveBack(ended, 0, now)
    }
    this.entries = this.entries.filter((e) => e.receipt !== '' || e.expiresAt === 0 || e.expiresAt > now)
    // What was due once stays so, also when the clock is set back.
    for (const e of this.entries) if (e.receipt === '' && e.due <= now && this.isHead(e)) e.due = 0
    if (this.a.overflow === 'drop_oldest') while (this.over(this.entries, 0, 0) && this.dropOldest(now));
  }

  /** When something happens next by time alone, after `now`. */
  nextMoment(now: number): number {
    const moments = this.entries.flatMap((e) => (e.receipt === '' ? [e.due, e.expiresAt] : [e.until]))
    return Math.min(...moments.filter((at) => at > now))
  }

  private over(kept: readonly ModelEntry[], more: number, bytes: number): boolean {
    const sum = kept.reduce((n, e) => n + e.bytes, bytes)
    return kept.length + more > this.a.max_messages || sum > this.a.max_bytes
  }

  private dropOldest(now: number): boolean {
    const oldest = this.oldest(now)
    if (oldest !== undefined) this.remove(oldest)
    return oldest !== undefined
  }

  /* ---- in ---- */

  /** True when there is room now; dropped is what goes for it. */
  private makeRoom(key: string, bytes: number, now: number): boolean {
    const old = this.waitingOf(key)
    if (bytes > this.a.max_bytes) return false
    const others = this.entries.filter((e) => e !== old)
    if (!this.over(others, 1, bytes)) return true
    if (this.a.overflow !== 'drop_oldest' || this.over(this.leased, 1, bytes)) return false
    this.entries = others
    while (this.over(this.entries, 1, bytes)) this.dropOldest(now)
    return true
  }

  private enter(e: ModelEntry): void {
    const old = this.waitingOf(e.key)
    if (old !== undefined) this.remove(old)
    this.entries.push(e)
  }

  send(m: ModelSend, now: number): ModelOutcome {
    this.tick(now)
    if (m.dedupId !== '' && (this.ids.get(m.dedupId) ?? 0) > now) return 'duplicate'
    if (!this.makeRoom(m.key, m.bytes, now)) return this.a.overflow === 'drop_newest' ? 'dropped_newest' : 'refused'
    const keep = this.a.retention_s === 0 ? 0 : now + this.a.retention_s * 1000
    const expiresAt = keep === 0 || m.expiresAt === 0 ? keep || m.expiresAt : Math.min(keep, m.expiresAt)
    const due = m.delay_ms > 0 ? now + m.delay_ms : 0
    const { text, bytes, priority, key } = m
    const [accepted, place] = [this.accepted++, this.next++]
    const fresh = { attempts: 0, receipt: '', until: 0 }
    this.enter({ text, bytes, priority, key, accepted, acceptedAt: now, place, due, expiresAt, ...fresh })
    if (m.dedupId !== '') this.ids.set(m.dedupId, now + this.a.dedup_window_s * 1000)
    return 'stored'
  }

  /** All of them, or none where the queue refuses and they do not fit together. */
  sendBatch(batch: readonly ModelSend[], now: number): ModelOutcome[] {
    this.tick(now)
    if (this.a.overflow !== 'drop_newest' && !this.fitTogether(batch, now)) return batch.map(() => 'refused')
    return batch.map((m) => this.send(m, now))
  }

  private fitTogether(batch: readonly ModelSend[], now: number): boolean {
    const tried = this.copy()
    if (this.a.overflow === 'drop_oldest') tried.entries = tried.leased
    for (const m of batch) {
      if (m.dedupId !== '' && (tried.ids.get(m.dedupId) ?? 0) > now) continue
      tried.ids.set(m.dedupId, now + 1)
      const old = tried.waitingOf(m.key)
      if (old !== undefined) tried.remove(old)
      tried.entries.push({ ...m, accepted: 0, acceptedAt: now, place: tried.next++, due: 0, attempts: 0, receipt: '', until: 0 })
      if (this.over(tried.entries, 0, 0)) return false
    }
    return true
  }

  /* ---- out and back ---- */

  lease(e: ModelEntry, receipt: string, lease_ms: number, now: number): void {
    e.receipt = receipt
    e.attempts++
    e.until = now + lease_ms
  }

  holder(receipt: string, now: number): ModelEntry | undefined {
    this.tick(now)
    return this.entries.find((e) => e.receipt === receipt && e.until > now)
  }

  ack(e: ModelEntry): void {
    this.remove(e)
    if (this.a.retain_s > 0) this.retained.push({ ...e, receipt: '' })
  }

  giveBack(e: ModelEntry, delay_ms: number, now: number): void {
    if (this.a.max_attempts > 0 && e.attempts >= this.a.max_attempts) {
      this.remove(e)
      this.dead.push({ ...e, receipt: '' })
    } else this.putBack(e, delay_ms, now)
  }

  /** Nobody worked on it. */
  takeBack(e: ModelEntry, delay_ms: number, now: number): void {
    e.attempts--
    this.putBack(e, delay_ms, now)
  }

  private putBack(e: ModelEntry, delay_ms: number, now: number): void {
    if (e.expiresAt !== 0 && e.expiresAt <= now) return this.remove(e)
    const waits = this.waitingOf(e.key)
    if (waits !== undefined && waits.expiresAt !== 0 && waits.expiresAt <= now) this.remove(waits)
    else if (waits !== undefined) {
      const older = waits.accepted < e.accepted ? waits : e
      this.remove(older)
      if (older === e) return
    }
    e.receipt = ''
    e.due = delay_ms > 0 ? now + delay_ms : 0
  }

  /* ---- the whole ---- */

  purge(now: number): number {
    this.tick(now)
    const before = this.entries.length
    this.entries = this.leased
    return before - this.entries.length
  }

  /** The dead, in the order of `texts`, come home, as far as there is room. */
  redrive(texts: readonly string[], now: number): { moved: number; full: boolean } {
    let moved = 0
    for (const text of texts) {
      this.tick(now)
      const e = this.dead.find((d) => d.text === text) as ModelEntry
      const newer = (this.waitingOf(e.key)?.accepted ?? 0) > e.accepted
      if (!newer && !this.makeRoom(e.key, e.bytes, now)) return { moved, full: true }
      this.dead = this.dead.filter((d) => d !== e)
      if (newer) continue
      moved++
      const expiresAt = this.a.retention_s === 0 ? 0 : now + this.a.retention_s * 1000
      this.enter({ ...e, place: this.next++, due: 0, expiresAt, attempts: 0, until: 0 })
    }
    return { moved, full: false }
  }

  /** What was acknowledged, accepted at `from` or later, waits again where it was. */
  seek(from: number, now: number): number {
    const again = this.retained.filter((e) => e.acceptedAt >= from).sort((x, y) => x.place - y.place)
    this.retained = this.retained.filter((e) => !again.includes(e))
    for (const e of again) {
      if ((this.waitingOf(e.key)?.accepted ?? 0) > e.accepted) continue
      const expiresAt = this.a.retention_s === 0 ? 0 : now + this.a.retention_s * 1000
      this.enter({ ...e, due: 0, expiresAt, attempts: 0, until: 0 })
    }
    return again.length
  }
}
