/**
 * Brings the tails of plain queues back into memory, and releases the messages of tails that were purged or deleted. Everything here runs
 * beside the hot path, one page per queue at a time, and never holds up a commit.
 *
 * A page comes, in this order of preference, from the tail's open page (memory), from its index page (one read), or from the entry rows.
 */
import type { Log } from '../core/log.js'
import type { Disk } from '../store/disk.js'
import type { Journal } from '../store/journal.js'
import { allIndexPages, indexPageFields, indexPageKey } from '../store/keys.js'
import type { MessageLog } from '../store/log.js'
import { EntryReader } from '../store/rows.js'
import { PageReader } from './index-page.js'
import type { PlainQueue } from './plain.js'
import type { Departure } from './queue.js'
import { takeRing } from './ring.js'
import type { Tail } from './tail.js'
import type { Trace } from './trace.js'

export interface PagerOptions {
  readonly log: MessageLog
  readonly journal: Journal
  readonly disk: Disk
  readonly said: Log
  /** Waiting entries that a queue keeps in memory. */
  readonly ringMax: number
  readonly pageEntries: number
  readonly trace: Trace | null
}

export class Pager {
  private readonly o: PagerOptions
  private closed = false
  /** Work under way, so that closing can wait for it. */
  private readonly running = new Set<Promise<void>>()
  private readonly page = new PageReader()

  constructor(o: PagerOptions) {
    this.o = o
  }

  /** Stops at the next step. */
  async close(): Promise<void> {
    this.closed = true
    await Promise.all(this.running)
  }

  /** Resolves when no page is loading and nothing is being released. */
  async idle(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running)
  }

  /** Moves on what is in memory, and loads the next page if the ring is still half empty and none is loading. */
  want(queue: PlainQueue, tail: Tail): void {
    if (tail.loading || this.closed || this.o.journal.failed) return
    if (queue.ring !== null && queue.ring.length > this.o.ringMax >>> 1) return
    if (this.fromOpen(queue, tail)) return
    tail.loading = true
    this.run(this.load(queue, tail))
  }

  /** Writes a complete page into the open group. */
  put(queue: PlainQueue, row: Buffer): void {
    const { journal, pageEntries } = this.o
    journal.putLazily(indexPageKey(queue.id, queue.nextIndex - pageEntries), row)
  }

  /** Releases the messages of a tail that is gone as a whole. A crash in its middle needs nothing: recovery does not count them. */
  abandon(queue: PlainQueue, tail: Tail, why: Departure): void {
    this.dropPages(queue.id, queue.nextIndex - tail.count, queue.nextIndex)
    this.run(this.release(queue, tail.fromSeq, tail.lastSeq, why))
  }

  /** Deletes pages that no tail needs any more, as a crash may leave them. */
  tidy(byId: (id: number) => PlainQueue | undefined): void {
    this.run(this.deleteStale(byId))
  }

  private run(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => {
        if (!this.closed && !this.o.journal.failed)
          this.o.said.error({ err: error }, 'reading waiting messages from the store failed')
      })
      .finally(() => this.running.delete(done))
    this.running.add(done)
  }

  private async load(queue: PlainQueue, tail: Tail): Promise<void> {
    const { disk, journal, pageEntries, ringMax } = this.o
    tail.starved = false
    let flushed = false
    try {
      while (!this.fromOpen(queue, tail) && ringMax - (queue.ring?.length ?? 0) >= pageEntries) {
        const index = queue.nextIndex - tail.count
        const start = index - (index % pageEntries)
        const row = await disk.get(indexPageKey(queue.id, start))
        if (queue.tail !== tail || this.closed) return
        if (row !== undefined && this.fromPage(queue, tail, row, index)) {
          journal.delLazily(indexPageKey(queue.id, start))
        } else if (!flushed) {
          // It may be in a commit that is on its way.
          flushed = true
          await journal.flush()
        } else if (!(await this.fromEntryRows(queue, tail))) {
          return
        }
        if (queue.tail !== tail || this.closed) return
      }
    } finally {
      tail.loading = false
    }
    queue.enforceLimits()
    if (queue.tail !== null) this.want(queue, queue.tail)
    if (tail.starved && queue.hasReady) queue.onReady?.()
  }

  /** Moves entries from the open page into the ring. True when the tail has none left elsewhere, whether or not all of them fitted. */
  private fromOpen(queue: PlainQueue, tail: Tail): boolean {
    const { open } = tail
    const index = queue.nextIndex - tail.count
    if (tail.count > 0) {
      if (open.count === 0 || index < open.firstIndex) return false
      this.fromPage(queue, tail, open.view(), index)
    }
    if (tail.count === 0) queue.tail = null
    return true
  }

  /** Moves the entries of a page from `index` on into the ring, as many as fit. False when the page does not have that entry. */
  private fromPage(queue: PlainQueue, tail: Tail, row: Buffer, index: number): boolean {
    const { page } = this
    if (!page.open(row)) return false
    let found = false
    while (page.next()) {
      if (page.index < index) continue
      if (!found && page.index > index) return false
      found = true
      if (!this.move(queue, tail, page.seq, page.bytes, page.flags, page.extra())) return true
    }
    return found
  }

  /** Moves entries from the entry rows into the ring until that is full. False when there is nothing (yet). */
  private async fromEntryRows(queue: PlainQueue, tail: Tail): Promise<boolean> {
    const { log } = this.o
    const first = queue.nextIndex - tail.count
    // Up to the open page: what comes in meanwhile is in there.
    let left = tail.open.count > 0 ? tail.open.firstIndex - first : tail.count
    const reader = new EntryReader()
    scan: for await (const { firstSeq, row } of log.reader.entryRows(tail.fromSeq, log.committedSeq)) {
      if (queue.tail !== tail || this.closed) return false
      reader.open(row, firstSeq)
      while (reader.next()) {
        if (reader.queueId !== queue.id || reader.seq < tail.fromSeq) continue
        if (left-- === 0 || !this.move(queue, tail, reader.seq, reader.bytes, reader.flags, reader.extra())) break scan
      }
    }
    const next = queue.nextIndex - tail.count
    this.dropPages(queue.id, first, next)
    return queue.tail === tail && next > first
  }

  private move(queue: PlainQueue, tail: Tail, seq: number, bytes: number, flags: number, extra: Buffer | undefined): boolean {
    if (queue.ring === null) queue.ring = takeRing()
    if (queue.ring.length >= this.o.ringMax) return false
    if (queue.ring.length === 0) tail.starved = true
    queue.ring.push(seq, bytes, flags)
    if (extra !== undefined) queue.keepExtra(seq, extra)
    tail.left(seq, bytes)
    return true
  }

  /** Deletes pages whose whole range is within `from` ≤ index < `to`. */
  private dropPages(queueId: number, from: number, to: number): void {
    const { journal, pageEntries } = this.o
    for (let start = from - (from % pageEntries); start + pageEntries <= to; start += pageEntries) {
      journal.delLazily(indexPageKey(queueId, start))
    }
  }

  private async release(queue: PlainQueue, from: number, to: number, why: Departure): Promise<void> {
    const { journal, log, trace } = this.o
    await journal.flush()
    const reader = new EntryReader()
    for await (const { firstSeq, row } of log.reader.entryRows(from, to)) {
      if (this.closed) return
      reader.open(row, firstSeq)
      while (reader.next()) {
        if (reader.queueId !== queue.id || reader.seq < from || reader.seq > to) continue
        log.drop(reader.seq)
        if (trace !== null) trace.left(queue, reader.seq, why, 0)
      }
    }
  }

  private async deleteStale(byId: (id: number) => PlainQueue | undefined): Promise<void> {
    const { disk, journal, pageEntries } = this.o
    for await (const { key } of disk.scan(allIndexPages, { keysOnly: true })) {
      if (this.closed) return
      const { queueId, firstIndex } = indexPageFields(key)
      const queue = byId(queueId)
      const tail = queue?.tail ?? null
      if (queue === undefined || tail === null || firstIndex + pageEntries <= queue.nextIndex - tail.count) journal.delLazily(key)
    }
  }
}
