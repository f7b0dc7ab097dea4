import * as net from 'node:net'
import type { Transport, TransportHandler } from '../../src/broker/transport.js'

/** A handler that remembers everything and lets a test wait for it, without sleeping. */
export class Recorder implements TransportHandler {
  readonly transport: Transport
  readonly chunks: Buffer[] = []
  /** The buffers themselves, to see whether reads share one. */
  readonly buffers = new Set<ArrayBufferLike>()
  bytes = 0
  drains = 0
  closes: (Error | undefined)[] = []
  onData: ((bytes: Buffer) => void) | undefined
  onDrained: (() => void) | undefined
  private waiting: { ready: () => boolean; go: () => void }[] = []

  constructor(transport: Transport) {
    this.transport = transport
  }

  data(chunk: Buffer, start: number, end: number): void {
    const copy = Buffer.from(chunk.subarray(start, end))
    this.chunks.push(copy)
    this.buffers.add(chunk.buffer)
    this.bytes += copy.length
    this.onData?.(copy)
    this.check()
  }

  drained(): void {
    this.drains++
    this.onDrained?.()
    this.check()
  }

  ended(error: Error | undefined): void {
    this.closes.push(error)
    this.check()
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  /** Resolves once `ready` holds; asked again at each call of the transport. */
  until(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve()
    return new Promise((go) => this.waiting.push({ ready, go }))
  }

  check(): void {
    this.waiting = this.waiting.filter(({ ready, go }) => {
      if (!ready()) return true
      go()
      return false
    })
  }
}

/** Accepts transports and hands out their recorders in order. */
export class Acceptor {
  readonly all: Recorder[] = []
  private takers: ((recorder: Recorder) => void)[] = []
  private taken = 0

  readonly accept = (transport: Transport): TransportHandler => {
    const recorder = new Recorder(transport)
    this.all.push(recorder)
    const taker = this.takers.shift()
    if (taker !== undefined) {
      this.taken++
      taker(recorder)
    }
    return recorder
  }

  next(): Promise<Recorder> {
    const ready = this.all[this.taken]
    if (ready !== undefined) {
      this.taken++
      return Promise.resolve(ready)
    }
    return new Promise((resolve) => this.takers.push(resolve))
  }
}

export function connect(port: number, options: Partial<net.TcpNetConnectOpts> = {}): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', ...options })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

export function once(emitter: NodeJS.EventEmitter, event: string): Promise<unknown> {
  return new Promise((resolve) => emitter.once(event, resolve))
}

/** Reads until `bytes` have come. */
export function readBytes(socket: NodeJS.ReadableStream, bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let got = 0
    const onData = (chunk: Buffer): void => {
      parts.push(chunk)
      got += chunk.length
      if (got < bytes) return
      socket.off('data', onData)
      resolve(Buffer.concat(parts))
    }
    socket.on('data', onData)
    socket.once('close', () => reject(new Error(`closed after ${got} of ${bytes} bytes`)))
  })
}

/** Writes `block` until the peer, who does not read, has stalled the transport. Returns the bytes written. */
export function fillUp(transport: Transport, block: Buffer): number {
  let written = 0
  while (written < 64 << 20) {
    written += block.length
    if (!transport.write(block)) return written
  }
  throw new Error(`the transport says that all of ${written} bytes have left`)
}
