/**
 * Where packets for one connection are put together, so that all that is said to it in one turn leaves in one write.
 *
 * A connection without output holds no buffer: it borrows a small slab when the first byte comes, moves to a large one when that is
 * not enough, and gives it back when the kernel has taken the bytes. A slab that the kernel did not take whole belongs to the
 * transport until it has drained, and is not reused; until then what comes is kept here, and counted by what it holds.
 */
import type { Transport } from './transport.js'

export const SMALL_SLAB_BYTES = 4 * 1024
export const LARGE_SLAB_BYTES = 64 * 1024
/** Slabs kept for reuse: 4 MiB of each kind at most. */
const SMALL_SLABS_KEPT = 1024
const LARGE_SLABS_KEPT = 64

export class SlabPool {
  private readonly small: Buffer[] = []
  private readonly large: Buffer[] = []
  /** Outputs that refer to a stretch of the read buffer and must copy it before that is read into again. */
  private readonly passing: Output[] = []
  readonly sent: { bytesSent: number }

  /** `sent` counts what all outputs of this pool hand to their transports. */
  constructor(sent: { bytesSent: number }) {
    this.sent = sent
  }

  /** `output` refers to the read buffer from now on. */
  willSettle(output: Output): void {
    this.passing.push(output)
  }

  /** The read buffer is about to be used again: whoever passes a stretch of it on takes its copy now. */
  settle(): void {
    const { passing } = this
    for (let i = 0; i < passing.length; i++) passing[i].settle()
    if (passing.length > 0) passing.length = 0
  }

  take(bytes: number): Buffer {
    if (bytes <= SMALL_SLAB_BYTES) return this.small.pop() ?? Buffer.allocUnsafeSlow(SMALL_SLAB_BYTES)
    if (bytes <= LARGE_SLAB_BYTES) return this.large.pop() ?? Buffer.allocUnsafeSlow(LARGE_SLAB_BYTES)
    return Buffer.allocUnsafeSlow(bytes)
  }

  give(slab: Buffer): void {
    if (slab.length === SMALL_SLAB_BYTES) {
      if (this.small.length < SMALL_SLABS_KEPT) this.small.push(slab)
    } else if (slab.length === LARGE_SLAB_BYTES) {
      if (this.large.length < LARGE_SLABS_KEPT) this.large.push(slab)
    }
  }
}

export class Output {
  /** The transport holds bytes that the kernel did not take; it says when they have left, and then `drained` is called. */
  stalled = false
  /** Bytes handed to the transport so far. */
  handed = 0
  private slab: Buffer | null = null
  private length = 0
  /** Full slabs behind a transport that is stalled, oldest first. */
  private full: Buffer[] | null = null
  private fullBytes = 0
  /** A stretch of the read buffer that is to be sent as it came: neighbouring packets make one stretch and one copy. */
  private passed: Buffer | null = null
  private passedFrom = 0
  private passedTo = 0
  private readonly pool: SlabPool
  private readonly transport: Transport

  constructor(pool: SlabPool, transport: Transport) {
    this.pool = pool
    this.transport = transport
  }

  /** Bytes put here and not written yet. */
  get bytes(): number {
    return this.length + this.fullBytes + this.passedTo - this.passedFrom
  }

  /** Sends bytes of the read buffer on as they are. They are copied at the latest when `SlabPool.settle` is called. */
  pass(from: Buffer, start: number, end: number): void {
    if (this.passed === from && this.passedTo === start) {
      this.passedTo = end
      return
    }
    if (this.passed === null) this.pool.willSettle(this)
    else this.settle()
    this.passed = from
    this.passedFrom = start
    this.passedTo = end
  }

  settle(): void {
    const from = this.passed
    if (from === null) return
    const { passedFrom, passedTo } = this
    this.passed = null
    this.passedFrom = 0
    this.passedTo = 0
    const slab = this.reserve(passedTo - passedFrom)
    from.copy(slab, this.length, passedFrom, passedTo)
    this.length += passedTo - passedFrom
  }

  /**
   * Room for `bytes` in one piece; write them at `at()` in the returned slab and call `advance`. Writes out what is there when a large slab is full.
   */
  reserve(bytes: number): Buffer {
    if (this.passed !== null) this.settle()
    const slab = this.slab
    if (slab !== null && slab.length - this.length >= bytes) return slab
    return this.grow(bytes)
  }

  /** Offset at which the reserved bytes begin. */
  at(): number {
    return this.length
  }

  advance(bytes: number): void {
    this.length += bytes
  }

  /** Appends a copy of `bytes`. */
  put(bytes: Buffer): void {
    const slab = this.reserve(bytes.length)
    bytes.copy(slab, this.length)
    this.length += bytes.length
  }

  /**
   * Hands everything to the transport in one write. While that is stalled the bytes stay here, close together: a transport keeps the whole slab of each
   * write, however little is in it. `last`: the connection ends, and there is no later.
   */
  flush(last = false): void {
    if (this.passed !== null) this.settle()
    if (this.stalled && !last) return
    if (this.full !== null) this.writeFull(last)
    const slab = this.slab
    if (slab === null || (this.stalled && !last)) return
    const { length } = this
    this.slab = null
    this.length = 0
    this.write(slab, length)
  }

  /** All that the transport kept has left. */
  drained(): void {
    this.stalled = false
    this.flush()
  }

  /** The connection is gone: what was not written never will be. */
  drop(): void {
    this.passed = null
    this.passedFrom = 0
    this.passedTo = 0
    this.full = null
    this.fullBytes = 0
    if (this.slab !== null) this.pool.give(this.slab)
    this.slab = null
    this.length = 0
  }

  private writeFull(last: boolean): void {
    const { full } = this
    if (full === null) return
    let count = 0
    while (count < full.length && (!this.stalled || last)) {
      const part = full[count++]
      this.fullBytes -= part.length
      this.write(part, part.length)
    }
    if (count === full.length) this.full = null
    else full.splice(0, count)
  }

  private write(slab: Buffer, length: number): void {
    this.handed += length
    this.pool.sent.bytesSent += length
    const taken = length === 0 || this.transport.write(slab.length === length ? slab : slab.subarray(0, length))
    if (taken) this.pool.give(slab)
    else this.stalled = true
  }

  private grow(bytes: number): Buffer {
    const old = this.slab
    const needed = this.length + bytes
    if (old !== null && needed > LARGE_SLAB_BYTES && this.length > 0) {
      this.flush()
      if (this.slab !== null) this.putAside(this.slab)
      this.slab = this.pool.take(bytes)
      return this.slab
    }
    const next = this.pool.take(needed)
    if (old !== null) {
      old.copy(next, 0, 0, this.length)
      this.pool.give(old)
    }
    this.slab = next
    return next
  }

  /** The transport is stalled and the slab full. What is put aside is cut to what is in it, so that nothing is held that is not counted. */
  private putAside(slab: Buffer): void {
    const { length } = this
    let part = slab
    if (length < slab.length) {
      part = Buffer.allocUnsafeSlow(length)
      slab.copy(part, 0, 0, length)
      this.pool.give(slab)
    }
    this.full ??= []
    this.full.push(part)
    this.fullBytes += length
    this.slab = null
    this.length = 0
  }
}
