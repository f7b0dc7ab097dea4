/**
 * Bodies of requests in memory, from their first byte until the answer has left: all together are bounded in bytes. The first part of each is not counted,
 * so that small requests pass whatever large ones do; their number is bounded with the connections.
 */
import type { ServerResponse } from 'node:http'
import { AqueductError } from '../../core/errors.js'
import type { Refusals } from '../../core/refusals.js'

/** Of each body, not counted. */
export const FREE_BYTES = 64 * 1024

export class Receiving {
  private bytes = 0
  private readonly max_bytes: number
  private readonly refusals: Refusals | undefined

  constructor(max_bytes: number, refusals?: Refusals) {
    this.max_bytes = max_bytes
    this.refusals = refusals
  }

  /** A body that may grow; what it takes is given back when `response` is over. */
  body(response: ServerResponse, announced: number, bytes_max: number): Body {
    return new Body(this, response, announced, bytes_max)
  }

  /** Throws `busy` when there is no room. */
  reserve(bytes: number): void {
    if (this.bytes + bytes <= this.max_bytes) {
      this.bytes += bytes
      return
    }
    this.refusals?.count('http.max_receiving_bytes')
    throw new AqueductError(
      'busy',
      'Other requests fill the memory that is there for bodies (http.max_receiving_bytes): try again.',
    )
  }

  release(bytes: number): void {
    this.bytes -= bytes
  }
}

/** Grows by doubling, into one buffer: a body that comes in single bytes costs no more than another. */
export class Body {
  private readonly home: Receiving
  private readonly response: ServerResponse
  private readonly announced: number
  private readonly bytes_max: number
  private buffer: Buffer = NOTHING
  private length = 0
  private reserved = 0

  constructor(home: Receiving, response: ServerResponse, announced: number, bytes_max: number) {
    this.home = home
    this.response = response
    this.announced = announced
    this.bytes_max = bytes_max
  }

  /** False when it is longer than it may be. Throws `busy`. */
  add(part: Buffer): boolean {
    const length = this.length + part.length
    if (length > this.bytes_max) return false
    if (this.length === 0 && part.length >= this.announced) {
      this.reserve(part.length)
      this.buffer = part
      this.length = length
      return true
    }
    if (length > this.buffer.length) this.grow(length)
    part.copy(this.buffer, this.length)
    this.length = length
    return true
  }

  get bytes(): Buffer {
    return this.buffer.subarray(0, this.length)
  }

  private grow(needed: number): void {
    const most = this.announced > 0 ? Math.min(this.announced, this.bytes_max) : this.bytes_max
    const size = Math.max(needed, Math.min(most, Math.max(needed * 2, 4_096)))
    this.reserve(size)
    const larger = Buffer.allocUnsafeSlow(size)
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }

  private reserve(size: number): void {
    const counted = Math.max(0, size - FREE_BYTES)
    if (counted <= this.reserved) return
    this.home.reserve(counted - this.reserved)
    if (this.reserved === 0) this.response.once('close', () => this.home.release(this.reserved))
    this.reserved = counted
  }
}

const NOTHING = Buffer.alloc(0)
