/**
 * MQTT over TCP: a listening socket, and one lean `Transport` per connection over its `net.Socket`.
 *
 * Always true:
 * - functions are shared by all connections; a connection has no timer of its own, and a closure only once its peer has stalled;
 * - `handler.ended` is called exactly once per accepted connection, whoever closed it and why;
 * - an exception in a handler closes that connection and nothing else.
 */
import * as net from 'node:net'
import type { Accept, Transport, TransportHandler } from '../broker/transport.js'
import type { Clock } from '../core/clock.js'
import { cannotListen, formatAddress } from '../core/listen.js'
import type { Log } from '../core/log.js'
import { Closing } from './closing.js'
import { shareReadBuffer } from './onread.js'
import { Places } from './places.js'

export interface TcpOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** The key to name when the port cannot be opened; its host key is the same with `host` at the end. */
  readonly setting?: string
  readonly accept: Accept
  /** Default: as many as come. */
  readonly places?: Places
  readonly clock: Clock
  readonly log: Log
  /** False takes the documented `'data'` way even where the shared read buffer would work. Default true. */
  readonly sharedReads?: boolean
}

export interface TcpListener {
  readonly port: number
  readonly address: string
  /** Connections that are open now. */
  readonly connections: number
  /** True when connections read into the shared buffer (listeners/onread.ts). */
  readonly sharedReads: boolean
  /** Stops accepting; resolves when the port is free. Open connections go on: their owner ends them. */
  close(): Promise<void>
  /** Cuts off whatever is still open. */
  destroyAll(): void
}

/** Opens the listener. Rejects with `port_in_use`, naming the setting, when it cannot. */
export function listenTcp(options: TcpOptions): Promise<TcpListener> {
  const { host, port, log } = options
  const setting = options.setting ?? 'mqtt.port'
  const places = options.places ?? new Places(Number.POSITIVE_INFINITY)
  const shared: Shared = { accept: options.accept, log, closing: new Closing(options.clock), open: new Set(), places }
  const server = net.createServer((socket) => {
    if (adopt(socket, shared)) socket.on('data', onData)
  })
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(cannotListen(host, port, setting, error))
    server.once('error', failed)
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', failed)
      // After the start: out of file descriptors, say. The listener stays; the connection that did not fit is refused.
      server.on('error', (error) => log.error({ err: error, setting }, 'a connection could not be accepted'))
      const sharedReads =
        options.sharedReads !== false && shareReadBuffer(server, (socket) => adopt(socket, shared), onSharedRead)
      if (!sharedReads) log.debug({ setting }, 'the shared read buffer is not in use')
      const bound = server.address() as net.AddressInfo
      resolve({
        port: bound.port,
        address: formatAddress(bound.address, bound.port),
        get connections() {
          return shared.open.size
        },
        sharedReads,
        close: () => stop(server),
        destroyAll: () => {
          for (const transport of shared.open) transport.destroy()
        },
      })
    })
  })
}

/** The kernel cuts it to `net.core.somaxconn`; a reconnecting fleet should queue there rather than be refused. */
const BACKLOG = 4_096

function stop(server: net.Server): Promise<void> {
  // Not the 'close' event: with the documented way it waits for the last connection. The port is free as soon as close() returns.
  return new Promise((resolve) => {
    if (server.listening) server.close()
    setImmediate(resolve)
  })
}

/** What all connections of one listener have in common. */
interface Shared {
  readonly accept: Accept
  readonly log: Log
  readonly closing: Closing
  readonly open: Set<TcpTransport>
  readonly places: Places
}

/** Where a socket keeps its transport: the shared functions get the socket as `this`. */
const TRANSPORT = Symbol('aqueduct.transport')
type OwnedSocket = net.Socket & { [TRANSPORT]: TcpTransport }

const NOTHING = Buffer.alloc(0)

/** False when there is no place for it. */
function adopt(socket: net.Socket, shared: Shared): boolean {
  if (!shared.places.take()) {
    socket.destroy()
    return false
  }
  socket.setNoDelay(true)
  const transport = new TcpTransport(socket, shared)
  ;(socket as OwnedSocket)[TRANSPORT] = transport
  socket.on('error', onError)
  socket.on('end', onEnd)
  socket.on('close', onClose)
  shared.open.add(transport)
  try {
    transport.handler = shared.accept(transport)
  } catch (error) {
    transport.fail(error)
  }
  return true
}

class TcpTransport implements Transport {
  readonly stream: net.Socket
  readonly shared: Shared
  handler: TransportHandler | undefined
  /** Kept apart and joined on demand: the host string is mostly the same for all. */
  private readonly host: string | undefined
  private readonly port: number
  /** No more bytes either way: `end` was called, or the peer has sent its FIN. */
  ending = false
  private stalled = false
  /** Made when the peer first stalls. */
  private onSent: ((error?: Error | null) => void) | undefined = undefined

  constructor(socket: net.Socket, shared: Shared) {
    this.stream = socket
    this.shared = shared
    this.handler = undefined
    this.host = internHost(socket.remoteAddress)
    this.port = socket.remotePort ?? 0
  }

  get remote(): string {
    return formatAddress(this.host, this.port)
  }

  get request(): undefined {
    return undefined
  }

  get pendingBytes(): number {
    return this.stream.writableLength
  }

  /** After `end`, `destroy` or the peer's FIN the bytes are dropped and the answer is true: nothing is kept. */
  write(bytes: Buffer): boolean {
    const socket = this.stream
    if (this.ending || socket.destroyed) return true
    // Without a callback: one would cost a tick per write, and a closure to know whose it is.
    socket.write(bytes)
    if (socket.writableLength === 0) return true
    if (!this.stalled) this.awaitDrain()
    return false
  }

  pause(): void {
    this.stream.pause()
  }

  resume(): void {
    this.stream.resume()
  }

  end(): void {
    if (this.ending) return
    this.ending = true
    this.stream.end()
    // Reads on, to throw away: closing with unread bytes would send a reset, which can overtake our last words.
    this.stream.resume()
    if (!this.stream.destroyed) this.shared.closing.add(this)
  }

  destroy(): void {
    this.stream.destroy()
  }

  /** A handler threw: this connection's trouble only. */
  fail(error: unknown): void {
    this.shared.log.error({ err: error, remote: this.remote }, 'a connection handler failed; its connection is closed')
    this.stream.destroy(error instanceof Error ? error : new Error(String(error)))
  }

  /** The peer has sent its FIN; Node answers with ours once all is flushed. */
  peerEnded(): void {
    this.ending = true
    this.shared.closing.add(this)
  }

  gone(error: Error | undefined): void {
    this.ending = true
    this.shared.closing.remove(this)
    this.shared.open.delete(this)
    this.shared.places.leave()
    try {
      this.handler?.ended(error)
    } catch (thrown) {
      this.fail(thrown)
    }
  }

  /**
   * 'drain' comes only above the high water mark, and a callback per write is what we avoid: so when the kernel did not take all, an
   * empty write follows and its callback says that everything before it has left.
   */
  private awaitDrain(): void {
    this.stalled = true
    this.onSent ??= (error) => this.sent(error)
    this.stream.write(NOTHING, this.onSent)
  }

  private sent(error: Error | null | undefined): void {
    this.stalled = false
    if (error != null || this.stream.destroyed) return
    if (this.stream.writableLength > 0) {
      // More was written behind the marker. When ending, nobody may write any more; `closed` comes next.
      if (!this.stream.writableEnded) this.awaitDrain()
      return
    }
    try {
      this.handler?.drained()
    } catch (thrown) {
      this.fail(thrown)
    }
  }
}

let lastHost: string | undefined

/** Connections from one host share its string. */
function internHost(host: string | undefined): string | undefined {
  if (host === lastHost) return lastHost
  lastHost = host
  return host
}

function onSharedRead(this: net.Socket, bytes: number, buffer: Buffer): boolean {
  deliver((this as OwnedSocket)[TRANSPORT], buffer, bytes)
  return true
}

function onData(this: net.Socket, chunk: Buffer): void {
  deliver((this as OwnedSocket)[TRANSPORT], chunk, chunk.length)
}

function deliver(transport: TcpTransport, chunk: Buffer, end: number): void {
  if (transport.ending) return
  try {
    transport.handler?.data(chunk, 0, end)
  } catch (error) {
    transport.fail(error)
  }
}

/** Only so that an error is not thrown: 'close' follows and finds it in `errored`. */
function onError(): void {}

function onEnd(this: net.Socket): void {
  ;(this as OwnedSocket)[TRANSPORT].peerEnded()
}

function onClose(this: net.Socket): void {
  ;(this as OwnedSocket)[TRANSPORT].gone(this.errored ?? undefined)
}
