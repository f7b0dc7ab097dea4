/**
 * Bytes of a connection that came and could not be handled yet: the first part of a packet, or packets behind one that waits for a hook.
 * Grows by doubling, so that a large packet that comes in many reads is copied only twice over, and never by a length that is only announced.
 */
export class Backlog {
  bytes: Buffer
  /** What is not handled yet: `from` ≤ i < `to`. */
  from = 0
  to = 0
  private readonly hint: number

  /** `hint`: what will hold the largest packet. Bytes beyond it are kept too, but without doubling. */
  constructor(hint: number) {
    this.hint = hint
    this.bytes = Buffer.alloc(0)
  }

  add(chunk: Buffer, start: number, end: number): void {
    const more = end - start
    if (this.to + more > this.bytes.length) this.grow(more)
    chunk.copy(this.bytes, this.to, start, end)
    this.to += more
  }

  private grow(more: number): void {
    const held = this.to - this.from
    const needed = held + more
    const room = Math.max(needed, Math.min(this.hint, needed * 2))
    const next = Buffer.allocUnsafeSlow(room)
    this.bytes.copy(next, 0, this.from, this.to)
    this.bytes = next
    this.from = 0
    this.to = held
  }
}
