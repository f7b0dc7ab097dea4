/**
 * From bytes to packets: finds packet borders, keeps what is incomplete, and stops while a packet waits for a hook or a commit, while the client
 * does not take its answers, and when others must get their turn.
 *
 * Always true: a packet too large is refused by its declared length, before any of its body is kept; `backlog` holds only bytes that
 * were not handed out yet; it stops for several reasons at once and goes on when the last of them has ended.
 */
import { Reason } from '../mqtt/constants.js'
import { Frame, readFrame } from '../mqtt/frame.js'
import { Backlog } from './backlog.js'

/** The connection, as its input needs it. */
interface Reader {
  readonly phase: string
  readonly version: number | null
  readonly packetBytesMax: number
  /** What packets have cost so far, over all connections: grows. */
  readonly work: number
  /** Up to where it may grow in this turn by the packets of this connection. */
  readonly workMax: number
  /** Bytes of answers that the client has not taken, at most; from how many on it must be looked what is true, and reading perhaps be stopped. */
  readonly answersHeld: number
  readonly answersLook: number
  lookAtAnswers(): void
  /** The packets behind this one wait until others had their turn: `resume` is called then. */
  rest(): void
  packet(frame: Frame, buf: Buffer, packetStart: number): void
  readDone(): void
  fault(reason: number, text: string): void
  /** The packet at `pos` is too large. False when a few more bytes are needed to say so. */
  tooLarge(frame: Frame, buf: Buffer, pos: number, end: number): boolean
}

const frame = new Frame()

/** Why nothing is handed out. Several may hold at once. */
export const WAITS = 1
/** The client does not take its answers. */
export const STALLED = 2
/** Others have their turn. */
export const RESTS = 4
/** What has begun is not at its end: a SUBSCRIBE of a great many filters. */
export const WORKS = 8

export class Input {
  /** Why packets wait and the socket is not read; 0: they do not. */
  why = 0
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

  get suspended(): boolean {
    return this.why !== 0
  }

  /** True when the socket is not to be read from now on. */
  suspend(reason: number): boolean {
    const changed = this.why === 0
    this.why |= reason
    return changed
  }

  /** `reason` has ended: goes on with what waited, unless there is another. True when the socket is to be read again. */
  resume(reason: number): boolean {
    if ((this.why & reason) === 0) return false
    this.why &= ~reason
    if (this.suspended) return false
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
    const { workMax } = reader
    let pos = start
    while (pos < end && this.why === 0) {
      const found = readFrame(buf, pos, end, reader.version ?? 4, frame)
      if (found === 0) break
      if (found < 0) reader.fault(Reason.malformed_packet, 'malformed fixed header')
      else if (frame.bodyEnd - pos > reader.packetBytesMax) {
        if (!reader.tooLarge(frame, buf, pos, end)) break
      } else if (frame.bodyEnd > end) break
      else {
        const next = frame.bodyEnd
        reader.packet(frame, buf, pos)
        pos = next
        if (reader.work > workMax && pos < end) reader.rest()
        if (reader.answersHeld >= reader.answersLook && reader.phase !== 'closed') reader.lookAtAnswers()
      }
      if (reader.phase === 'closed') return end
    }
    return pos
  }
}
