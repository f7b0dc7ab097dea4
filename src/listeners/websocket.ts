/**
 * MQTT over WebSocket, on the upgrade of the HTTP server: certain paths, subprotocol `mqtt` [MQTT-6.0.0-3], [MQTT-6.0.0-4].
 *
 * Always true:
 * - frames are a way to carry bytes: a packet may be cut anywhere and a frame may hold many packets [MQTT-6.0.0-2], so that none is kept until it is whole
 *   (listeners/frames.ts);
 * - only binary frames are taken; any other kind closes the connection [MQTT-6.0.0-1];
 * - one `write` is one binary frame, uncompressed.
 *
 * The `message` event, not `createWebSocketStream`: a fifth to a third less CPU per message.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { Accept, Transport, TransportHandler } from '../broker/transport.js'
import type { Clock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import { formatAddress } from '../core/listen.js'
import type { Log } from '../core/log.js'
import { Closing } from './closing.js'
import { FRAME_BYTES_MAX, FrameCutter } from './frames.js'
import { type OriginRule, originRule } from './origins.js'
import { refuseUpgrade } from './refuse.js'

export interface WebSocketOptions {
  readonly accept: Accept
  readonly clock: Clock
  readonly log: Log
  /** Default: `/mqtt` and `/`. */
  readonly paths?: readonly string[]
  /** Which web pages may connect. Default: our own and this machine's. */
  readonly mayConnect?: OriginRule
}

export interface WebSocketListener {
  /** The HTTP server's `upgrade` handler. Answers 404 on another path, 403 to a page of a foreign origin, 400 without the subprotocol, 503 once closed. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** Connections that are open now. */
  readonly connections: number
  /** Takes no new connections. Open ones go on: their owner ends them. */
  close(): void
  /** Cuts off whatever is still open. */
  destroyAll(): void
}

/** What is picked when a client offers several. `mqttv3.1` is what clients before 3.1.1 say. */
const SUBPROTOCOLS = ['mqtt', 'mqttv3.1']

/** Parts of one message of text, and reads that a frame of it may come in: each costs more than its bytes. */
const FRAGMENTS_MAX = 4_096
const CHUNKS_MAX = 16_384
/** What may come before CONNECT has come whole and is no byte of it: frames around it, pings. */
const BEFORE_CONNECT_BYTES_MAX = 131_072

/** Close codes of RFC 6455 §7.4.1. */
const CLOSE_NORMAL = 1000
const CLOSE_UNSUPPORTED_DATA = 1003

export function createWebSocketListener(options: WebSocketOptions): WebSocketListener {
  const { log } = options
  const paths = options.paths ?? ['/mqtt', '/']
  const mayConnect = options.mayConnect ?? originRule([])
  const shared: Shared = { accept: options.accept, log, closing: new Closing(options.clock), open: new Set() }
  let closed = false
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    maxFragments: FRAGMENTS_MAX,
    maxBufferedChunks: CHUNKS_MAX,
    handleProtocols: (offered) => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
  })
  server.on('wsClientError', (error, socket) => refuseUpgrade(socket, 400, 'bad_request', `${error.message}.`))

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (closed) {
      refuseUpgrade(socket, 503, 'not_ready', 'Aqueduct is shutting down.')
    } else if (!paths.includes(pathOf(request.url))) {
      refuseUpgrade(socket, 404, 'not_found', whereItIs(paths))
    } else if (!mayConnect(request.headers.origin, request.headers.host)) {
      refuseUpgrade(
        socket,
        403,
        'not_authorised',
        'Pages of this origin may not connect. The setting http.allow_origins can allow it.',
      )
    } else if (!offersMqtt(request.headers['sec-websocket-protocol'])) {
      refuseUpgrade(socket, 400, 'bad_request', 'Offer the WebSocket subprotocol "mqtt" (Sec-WebSocket-Protocol).')
    } else {
      server.handleUpgrade(request, socket, head, (ws) => {
        log.debug({ origin: request.headers.origin }, 'websocket accepted')
        shared.open.add(new WebSocketTransport(ws, request, shared))
      })
    }
  }
  return {
    upgrade,
    get connections() {
      return shared.open.size
    },
    close: () => {
      closed = true
    },
    destroyAll: () => {
      for (const transport of shared.open) transport.destroy()
    },
  }
}

function whereItIs(paths: readonly string[]): string {
  if (paths.length === 0) return 'MQTT over WebSocket is off: the setting http.websocket_paths has no path.'
  return `MQTT over WebSocket is at ${paths.join(' and ')}. The setting http.websocket_paths says where.`
}

function pathOf(url: string | undefined): string {
  const raw = url ?? ''
  const query = raw.indexOf('?')
  return query < 0 ? raw : raw.slice(0, query)
}

/** Only whether `mqtt` is among them; `ws` parses the header strictly afterwards. */
function offersMqtt(header: string | undefined): boolean {
  return header?.split(',').some((name) => SUBPROTOCOLS.includes(name.trim())) ?? false
}

interface Shared {
  readonly accept: Accept
  readonly log: Log
  readonly closing: Closing
  readonly open: Set<WebSocketTransport>
}

class WebSocketTransport implements Transport {
  readonly stream: Duplex
  readonly request: IncomingMessage
  readonly remote: string
  private readonly ws: WebSocket
  private readonly shared: Shared
  private handler: TransportHandler | undefined
  private ending = false
  private stalled = false
  private error: Error | undefined
  private readonly onSent = (): void => this.sent()
  private early = 0
  /** The handler bounds what it is given. Comes after `received` has taken that off. */
  private readonly onBytes = (chunk: Buffer): void => {
    if (this.handler?.beforeConnect !== true) this.request.socket.off('data', this.onBytes)
    else if ((this.early += chunk.length) > BEFORE_CONNECT_BYTES_MAX) {
      this.error = new AqueductError('protocol_error', 'too many bytes before CONNECT')
      this.destroy()
    }
  }

  constructor(ws: WebSocket, request: IncomingMessage, shared: Shared) {
    this.ws = ws
    this.request = request
    this.stream = request.socket
    this.remote = formatAddress(request.socket.remoteAddress, request.socket.remotePort)
    this.shared = shared
    cutFrames(ws)
    ws.on('message', (data, isBinary) => this.received(data, isBinary))
    ws.on('error', (error) => this.failed(error))
    ws.on('close', () => this.closed())
    request.socket.on('data', this.onBytes)
    try {
      this.handler = shared.accept(this)
    } catch (error) {
      this.fail(error)
    }
  }

  get pendingBytes(): number {
    return this.ws.bufferedAmount
  }

  write(bytes: Buffer): boolean {
    const ws = this.ws
    if (this.ending || ws.readyState !== ws.OPEN) return true
    ws.send(bytes, BINARY, this.onSent)
    if (ws.bufferedAmount === 0) return true
    this.stalled = true
    return false
  }

  pause(): void {
    this.ws.pause()
  }

  resume(): void {
    this.ws.resume()
  }

  end(): void {
    this.close(CLOSE_NORMAL)
  }

  destroy(): void {
    this.ending = true
    this.ws.terminate()
  }

  private close(code: number): void {
    if (this.ending) return
    this.ending = true
    this.shared.closing.add(this)
    this.ws.close(code)
    // The peer's close frame is still to be read.
    this.ws.resume()
  }

  private received(data: RawData, isBinary: boolean): void {
    if (this.ending) return
    if (!isBinary) {
      this.error = new AqueductError('protocol_error', 'a text frame arrived; MQTT is carried in binary frames [MQTT-6.0.0-1]')
      this.close(CLOSE_UNSUPPORTED_DATA)
      return
    }
    // One Buffer: `binaryType` is left at 'nodebuffer'.
    const bytes = data as Buffer
    this.early -= bytes.length
    try {
      this.handler?.data(bytes, 0, bytes.length)
    } catch (error) {
      this.fail(error)
    }
  }

  private sent(): void {
    if (!this.stalled || this.ending || this.ws.bufferedAmount > 0) return
    this.stalled = false
    try {
      this.handler?.drained()
    } catch (error) {
      this.fail(error)
    }
  }

  /** A broken frame, one that is too large, or the socket's own error; `ws` has begun to close. */
  private failed(error: Error): void {
    this.error ??= error
    this.ending = true
    this.shared.closing.add(this)
  }

  private fail(error: unknown): void {
    this.shared.log.error({ err: error, remote: this.remote }, 'a connection handler failed; its connection is closed')
    this.error ??= error instanceof Error ? error : new Error(String(error))
    this.destroy()
  }

  private closed(): void {
    this.ending = true
    this.shared.closing.remove(this)
    this.shared.open.delete(this)
    try {
      this.handler?.ended(this.error)
    } catch (error) {
      this.shared.log.error({ err: error, remote: this.remote }, 'a connection handler failed after its connection was closed')
    }
  }
}

const BINARY = { binary: true, compress: false, fin: true }

/** All that comes goes through `write` of the receiver, which is no documented part of `ws`: a version without it must not start. */
function cutFrames(ws: WebSocket): void {
  const receiver = (ws as unknown as { readonly _receiver: { write(chunk: Buffer): boolean } })._receiver
  const cutter = new FrameCutter(receiver.write.bind(receiver))
  receiver.write = (chunk) => cutter.take(chunk)
}
