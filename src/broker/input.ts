/**
 * From bytes to packets: finds packet borders, keeps what is incomplete, and stops while a packet waits for a hook or a commit.
 *
 * Always true: a packet too large is refused by its declared length, before any of its body is kept; `backlog` holds only bytes that
 * were not handed out yet.
 */
import { Reason } from '../mqtt/constants.js'
import { Frame, readFrame } from '../mqtt/frame.js'
import { Backlog } from './backlog.js'

/** The connection, as its input needs it. */
interface Reader {
  readonly phase: string
  readonly version: number | null
  readonly packetBytesMax: number
  packet(frame: Frame, buf: Buffer, packetStart: number): void
  readDone(): void
  fault(reason: number, text: string): void
}

const frame = new Frame()

export class Input {
  /** True while packets wait and the socket should not be read. */
  suspended = false
  /** True while packets of one read are being handled: what they lead to is written when all are. */
  reading = false
  private backlog: Backlog | null = null
  private readonly reader: Reader

  constructor(reader: Reader) {
    this.reader = reader
  }

  /** Bytes that came. They are valid during this call only. */
  take(chunk: Buffer, start: number, end: number): void {
    if (this.reader.phase === 'closed') return
    this.reading = true
    try {
      if (this.backlog === null) {
        const rest = this.parse(chunk, start, end)
        if (rest < end) this.keep(chunk, rest, end)
      } else {
        this.backlog.add(chunk, start, end)
        this.parseBacklog()
      }
    } finally {
      // Also after a fault of our own: other connections may still refer to `chunk`.
      this.reading = false
      this.reader.readDone()
    }
  }

  /** True when this changed something. */
  suspend(): boolean {
    const changed = !this.suspended
    this.suspended = true
    return changed
  }

  /** Goes on with what waited. True when the socket is to be read again. */
  resume(): boolean {
    if (!this.suspended) return false
    this.suspended = false
    // Answered at once, in the middle of `parse`: that loop goes on by itself.
    if (this.reading) return true
    this.reading = true
    try {
      this.parseBacklog()
    } finally {
      this.reading = false
      this.reader.readDone()
    }
    return !this.suspended
  }

  close(): void {
    this.backlog = null
  }

  /** Bytes kept of what has not been handed out. */
  get held(): number {
    return this.backlog === null ? 0 : this.backlog.bytes.length
  }

  private keep(chunk: Buffer, start: number, end: number): void {
    if (this.reader.phase === 'closed') return
    this.backlog = new Backlog(this.reader.packetBytesMax)
    this.backlog.add(chunk, start, end)
  }

  private parseBacklog(): void {
    const backlog = this.backlog
    if (backlog === null) return
    backlog.from = this.parse(backlog.bytes, backlog.from, backlog.to)
    if (backlog.from === backlog.to) this.backlog = null
  }

  /** Hands out the whole packets in `buf`; returns the offset of the first byte that was not used. */
  private parse(buf: Buffer, start: number, end: number): number {
    const { reader } = this
    let pos = start
    while (pos < end && !this.suspended) {
      const found = readFrame(buf, pos, end, reader.version ?? 4, frame)
      if (found === 0) break
      if (found < 0) reader.fault(Reason.malformed_packet, 'malformed fixed header')
      else if (frame.bodyEnd - pos > reader.packetBytesMax) reader.fault(Reason.packet_too_large, 'packet too large')
      else if (frame.bodyEnd > end) break
      else {
        const next = frame.bodyEnd
        reader.packet(frame, buf, pos)
        pos = next
      }
      if (reader.phase === 'closed') return end
    }
    return pos
  }
}
