/**
 * The part of a plain queue's waiting entries that is on the disk only, and how it comes back page by page.
 *
 * Always true: all waiting entries of the queue with a sequence of `fromSeq` or more are in the tail, none below; `recent`, while it exists,
 * holds exactly those of `recentFrom` or more, so that a consumer that catches up does not chase its own publisher over the disk.
 */
import { Ring } from './ring.js'

export class Tail {
  /** Where reading goes on: no entry of the tail is below. */
  fromSeq: number
  count = 0
  bytes = 0
  /** Highest sequence in it. */
  lastSeq = 0
  loading = false
  recent: Ring | null = null
  recentFrom = 0
  recentExtras: Map<number, Buffer> | null = null
  private readonly recentMax: number

  constructor(fromSeq: number, recentMax: number) {
    this.fromSeq = fromSeq
    this.recentMax = recentMax
  }

  add(seq: number, bytes: number, flags: number, extra: Buffer | undefined): void {
    this.count++
    this.bytes += bytes
    this.lastSeq = seq
    const { recent } = this
    if (recent === null) return
    if (recent.length >= this.recentMax) {
      this.stopRecent()
      return
    }
    recent.push(seq, bytes, flags)
    if (extra !== undefined) {
      if (this.recentExtras === null) this.recentExtras = new Map()
      this.recentExtras.set(seq, extra)
    }
  }

  /** From `seq` (the next to be given) on, what is added is kept in memory as well. */
  startRecent(seq: number): void {
    this.recent = new Ring()
    this.recentFrom = seq
    this.recentExtras = null
  }

  stopRecent(): void {
    this.recent = null
    this.recentExtras = null
  }
}
