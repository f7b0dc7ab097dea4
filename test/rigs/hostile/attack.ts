/** What an attack is, and what it has to work with. An attack is one module: a careless or spiteful client, at the built program, from outside. */
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { packet } from '../../support/mqtt-client.js'
import type { ConnectOptions } from '../../support/mqtt-packets.js'

export interface Attack {
  readonly name: string
  /** `KEY=VALUE` settings that the broker is started with for it. */
  readonly settings?: readonly string[]
  /** File descriptors that the broker may have. */
  readonly descriptors?: number
  /** What `/metrics` counts when it is refused or held back: the sum of the samples that match must grow. */
  readonly counted?: RegExp
  /** Before the honest are measured. */
  prepare?(ground: Ground): Promise<void>
  /** Goes on until `ground.over`. What fails because the broker defends itself is no failure. */
  run(ground: Ground): Promise<void>
}

export class Ground {
  readonly port: number
  readonly http_port: number
  /** 1 in the full form; the short form brings less. */
  readonly scale: number
  over = false
  private readonly sockets = new Set<Socket>()

  constructor(o: { port: number; http_port: number; scale: number }) {
    this.port = o.port
    this.http_port = o.http_port
    this.scale = o.scale
  }

  scaled(count: number): number {
    return Math.max(1, Math.round(count * this.scale))
  }

  /** A socket to the MQTT door, or another; errors end it and nothing else. */
  socket(port = this.port): Socket {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.sockets.delete(socket))
    this.sockets.add(socket)
    return socket
  }

  /** The same with CONNECT said. `reads`: takes what comes, and throws it away. */
  client(o: ConnectOptions, reads: boolean): Socket {
    const socket = this.socket()
    if (reads) socket.resume()
    else socket.pause()
    socket.write(packet.connect(o))
    return socket
  }

  /** Writes `next()` again and again as fast as the socket takes it, until the attack is over or the socket gone. */
  async flood(socket: Socket, next: () => Buffer): Promise<void> {
    while (!this.over && !socket.destroyed) {
      if (socket.writableNeedDrain) await room(socket)
      else if (!socket.write(next())) await room(socket)
      else await this.pause(0)
    }
  }

  async pause(ms: number): Promise<void> {
    await new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms)))
  }

  /** One request to the HTTP door; the status, 0 when there was no answer. */
  http(method: string, path: string, body?: string | Buffer, type = 'application/json'): Promise<number> {
    return new Promise((resolve) => {
      const headers = body === undefined ? {} : { 'content-type': type }
      const call = request({ port: this.http_port, host: '127.0.0.1', method, path, headers, timeout: 20_000 }, (answer) => {
        answer.resume()
        answer.on('end', () => resolve(answer.statusCode ?? 0))
        answer.on('error', () => resolve(0))
      })
      call.on('error', () => resolve(0))
      call.on('timeout', () => call.destroy())
      call.end(body)
    })
  }

  /** Ends all that is open. */
  end(): void {
    this.over = true
    for (const socket of this.sockets) socket.destroy()
  }
}

/** Resolves when the socket takes more, when it is gone, or soon in any case. */
function room(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(done, 200)
    socket.once('drain', done)
    socket.once('close', done)
  })
}

export const repeated = (bytes: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes))
export const each = (count: number, one: (n: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, n) => one(n)))
/** Packet identifiers go round. */
export const idOf = (n: number): number => 1 + (n % 60_000)
