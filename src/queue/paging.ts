/**
 * Brings the tails of plain queues back into memory, and releases the messages of tails that were purged or deleted. Everything here runs
 * beside the hot path, one page per queue at a time, and never holds up a commit.
 */
import type { Log } from '../core/log.js'
import type { Journal } from '../store/journal.js'
import type { MessageLog } from '../store/log.js'
import { EntryReader } from '../store/rows.js'
import type { PlainQueue } from './plain.js'
import { takeRing } from './ring.js'
import type { Tail } from './tail.js'

export class Pager {
  private readonly log: MessageLog
  private readonly journal: Journal
  private readonly said: Log
  private readonly ringMax: number
  private closed = false
  /** Work under way, so that closing can wait for it. */
  private readonly running = new Set<Promise<void>>()

  constructor(log: MessageLog, journal: Journal, said: Log, ringMax: number) {
    this.log = log
    this.journal = journal
    this.said = said
    this.ringMax = ringMax
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

  /** Loads the next page of `tail` if its queue's ring is half empty and none is loading. */
  want(queue: PlainQueue, tail: Tail): void {
    if (tail.loading || this.closed || this.journal.failed) return
    if (queue.ring !== null && queue.ring.length > this.ringMax >>> 1) return
    // What is not committed is not on the disk either; the commit asks again.
    if (tail.fromSeq > this.log.committedSeq) return
    tail.loading = true
    this.run(this.load(queue, tail))
  }

  /** Releases the messages of a tail that is gone as a whole. A crash in its middle needs nothing: recovery does not count them. */
  abandon(queue: PlainQueue, tail: Tail): void {
    this.run(this.release(queue, tail.fromSeq, tail.lastSeq))
  }

  private run(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => {
        if (!this.closed) this.said.error({ err: error }, 'reading waiting messages from the store failed')
      })
      .finally(() => this.running.delete(done))
    this.running.add(done)
  }

  private async load(queue: PlainQueue, tail: Tail): Promise<void> {
    const wasReady = queue.hasReady
    const reader = new EntryReader()
    try {
      tail.startRecent(this.log.nextSeq)
      for (;;) {
        const upTo = Math.min(this.log.committedSeq, tail.recent === null ? Number.POSITIVE_INFINITY : tail.recentFrom - 1)
        if (await this.fill(queue, tail, upTo, reader)) break
        if (queue.tail !== tail || this.closed) return
        if (tail.recent === null) break
        if (upTo >= tail.recentFrom - 1) {
          this.joinRecent(queue, tail)
          break
        }
        // What was put and not yet committed when we began: it is on its way.
        await this.journal.flush()
        if (queue.tail !== tail || this.closed) return
      }
    } finally {
      tail.loading = false
      tail.stopRecent()
    }
    queue.enforceLimits()
    if (queue.tail !== null) this.want(queue, queue.tail)
    if (!wasReady && queue.hasReady) queue.onReady?.()
  }

  /** Moves entries from the disk into the ring, up to sequence `upTo`. True when the ring is full. */
  private async fill(queue: PlainQueue, tail: Tail, upTo: number, reader: EntryReader): Promise<boolean> {
    for await (const { firstSeq, row } of this.log.reader.entryRows(tail.fromSeq, upTo)) {
      if (queue.tail !== tail || this.closed) return false
      if (queue.ring === null) queue.ring = takeRing()
      const { ring } = queue
      reader.open(row, firstSeq)
      while (reader.next()) {
        if (reader.queueId !== queue.id || reader.seq < tail.fromSeq || reader.seq > upTo) continue
        if (ring.length >= this.ringMax) return true
        ring.push(reader.seq, reader.bytes, reader.flags)
        const extra = reader.extra()
        if (extra !== undefined) queue.keepExtra(reader.seq, extra)
        tail.fromSeq = reader.seq + 1
        tail.count--
        tail.bytes -= reader.bytes
      }
    }
    tail.fromSeq = Math.max(tail.fromSeq, upTo + 1)
    return false
  }

  /** The disk part is in the ring: what was added since goes behind it, and the tail is over if all of it fits. */
  private joinRecent(queue: PlainQueue, tail: Tail): void {
    const { recent } = tail
    if (recent === null || recent.length !== tail.count) return
    const ring = queue.ring ?? takeRing()
    queue.ring = ring
    if (ring.length + recent.length > this.ringMax) return
    for (; recent.length > 0; recent.shift()) ring.push(recent.seq, recent.bytes, recent.flags)
    if (tail.recentExtras !== null) for (const [seq, extra] of tail.recentExtras) queue.keepExtra(seq, extra)
    queue.tail = null
  }

  private async release(queue: PlainQueue, from: number, to: number): Promise<void> {
    if (to < from) return
    await this.journal.flush()
    const reader = new EntryReader()
    for await (const { firstSeq, row } of this.log.reader.entryRows(from, to)) {
      if (this.closed) return
      reader.open(row, firstSeq)
      while (reader.next()) {
        if (reader.queueId === queue.id && reader.seq >= from && reader.seq <= to) this.log.drop(reader.seq)
      }
    }
  }
}
