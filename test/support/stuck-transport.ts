/** A transport whose peer takes nothing until it is told to: what is written is counted, as a socket does, and nothing leaves. */
import type { Broker } from '../../src/broker/broker.js'
import type { Connection } from '../../src/broker/connection.js'
import type { Transport } from '../../src/broker/transport.js'
import { type Packet, PacketReader } from './mqtt-packets.js'

export class StuckTransport implements Transport {
  readonly remote = 'stuck'
  readonly stream = undefined
  readonly request = undefined
  /** The peer reads: everything leaves at once. */
  open = true
  paused = false
  ended = false
  /** Writes, and bytes of the buffers that they hold on to, while the peer does not read. */
  writes = 0
  heldBytes = 0
  pendingBytes = 0
  readonly packets: Packet[] = []
  readonly connection: Connection
  private kept: Buffer[] = []
  private readonly reader: PacketReader

  constructor(broker: Broker, protocol?: 5) {
    this.reader = new PacketReader(protocol)
    this.connection = broker.accept(this) as Connection
  }

  write(bytes: Buffer): boolean {
    if (this.open) {
      this.read(bytes)
      return true
    }
    this.writes++
    this.heldBytes += bytes.buffer.byteLength
    this.pendingBytes += bytes.length
    this.kept.push(bytes)
    return false
  }

  /** The peer reads what there is, and says so. */
  take(): void {
    for (const bytes of this.kept.splice(0)) this.read(bytes)
    this.pendingBytes = 0
    this.writes = 0
    this.heldBytes = 0
    this.connection.drained()
  }

  /** Hands `bytes` over in reads of 64 KiB, as long as it is being read. Returns how many were. */
  give(bytes: Buffer): number {
    let at = 0
    for (; at < bytes.length && !this.paused && !this.ended; at += 65_536) {
      const end = Math.min(at + 65_536, bytes.length)
      this.connection.data(bytes, at, end)
    }
    return Math.min(at, bytes.length)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  end(): void {
    this.ended = true
  }

  destroy(): void {
    this.ended = true
  }

  private read(bytes: Buffer): void {
    this.reader.push(Buffer.from(bytes), (p) => this.packets.push(p))
  }
}

/** Lets the process have `count` turns. */
export async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve))
}
