/**
 * The part of a plain queue's waiting entries that is not in its ring. It is on the disk; its newest entries are in `open` as well, so that a
 * consumer that catches up does not chase its own publisher over the disk.
 *
 * Always true: the tail is the last `count` entries of the queue; all of them have a sequence of `fromSeq` or more, and none that waits
 * elsewhere has; `open` holds the newest of them without a gap.
 */
import { OpenPage } from './index-page.js'

export class Tail {
  /** No entry of the tail is below. */
  fromSeq: number
  count = 0
  bytes = 0
  /** Highest sequence in it. */
  lastSeq = 0
  loading = false
  /** The ring was empty when entries came into it: a consumer may be waiting. */
  starved = false
  readonly open: OpenPage

  constructor(fromSeq: number, pageEntries: number) {
    this.fromSeq = fromSeq
    this.open = new OpenPage(pageEntries)
  }

  /** Adds the newest entry. Returns a page that is now complete, and begins at a multiple of its size or where the tail began. */
  add(seq: number, index: number, bytes: number, flags: number, extra: Buffer | undefined): Buffer | undefined {
    this.count++
    this.bytes += bytes
    this.lastSeq = seq
    return this.open.add(seq, index, bytes, flags, extra) ? this.open.take() : undefined
  }

  /** The oldest entry, `seq`, is in the ring now. */
  left(seq: number, bytes: number): void {
    this.count--
    this.bytes -= bytes
    this.fromSeq = seq + 1
  }
}
