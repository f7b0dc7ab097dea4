/**
 * A `Transport` over any Duplex: what a program hands to `aedes.handle(stream, req)`, a TLS socket, a `websocket-stream`, a pair in a
 * test. Slower than listeners/tcp.ts, and right for streams of which nothing is known.
 *
 * Always true:
 * - `handler.ended` is called exactly once, also for a stream that never emits 'close';
 * - what was given to `write` may be used again when it returned true: a stream that might keep it gets a copy.
 */
import * as net from 'node:net'
import { type Duplex, finished } from 'node:stream'
import type { Accept, Transport, TransportHandler } from '../broker/transport.js'
import { formatAddress } from '../core/listen.js'
import type { Log } from '../core/log.js'
import type { Closing } from './closing.js'

export interface StreamOptions {
  readonly accept: Accept
  readonly closing: Closing
  readonly log: Log
}

/** Gives `stream` to `options.accept` as a transport. `request` is the HTTP upgrade request when there was one. */
export function acceptStream(stream: Duplex, request: unknown, options: StreamOptions): Transport {
  return new StreamTransport(stream, request, options)
}

class StreamTransport implements Transport {
  readonly stream: Duplex
  readonly request: unknown
  readonly remote: string
  private readonly closing: Closing
  private readonly log: Log
  private handler: TransportHandler | undefined
  /** A socket is done with a buffer when its write is; of any other stream that is not known. */
  private readonly copies: boolean
  private ending = false
  private gone = false
  private stalled = false
  private readonly onSent = (): void => this.sent()

  constructor(stream: Duplex, request: unknown, options: StreamOptions) {
    this.stream = stream
    this.request = request
    this.closing = options.closing
    this.log = options.log
    this.remote = remoteOf(stream)
    this.copies = !(stream instanceof net.Socket)
    try {
      this.handler = options.accept(this)
    } catch (error) {
      this.fail(error)
    }
    // 'data' last: the handler is there when the first bytes come.
    finished(stream, (error) => this.closed(error ?? undefined))
    stream.on('error', ignore)
    stream.on('end', () => this.peerEnded())
    stream.on('data', (chunk: Buffer | Uint8Array | string) => this.received(chunk))
  }

  get pendingBytes(): number {
    return this.stream.writableLength
  }

  write(bytes: Buffer): boolean {
    if (this.ending || this.stream.destroyed) return true
    // A callback per write, shared by all of this stream: with 'drain' alone a small rest below the high water mark would go unnoticed.
    this.stream.write(this.copies ? Buffer.from(bytes) : bytes, this.onSent)
    if (this.stream.writableLength === 0) return true
    this.stalled = true
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
    if (this.gone) return
    this.closing.add(this)
    this.stream.end()
    this.stream.resume()
  }

  destroy(): void {
    this.ending = true
    this.stream.destroy()
  }

  private peerEnded(): void {
    if (this.gone) return
    this.closing.add(this)
    if (this.ending) return
    this.ending = true
    this.stream.end()
  }

  private received(chunk: Buffer | Uint8Array | string): void {
    if (this.ending) return
    const bytes = toBuffer(chunk)
    try {
      this.handler?.data(bytes, 0, bytes.length)
    } catch (error) {
      this.fail(error)
    }
  }

  private sent(): void {
    if (!this.stalled || this.gone || this.stream.destroyed || this.stream.writableLength > 0) return
    this.stalled = false
    try {
      this.handler?.drained()
    } catch (error) {
      this.fail(error)
    }
  }

  private fail(error: unknown): void {
    this.log.error({ err: error, remote: this.remote }, 'a connection handler failed; its connection is closed')
    this.stream.destroy(error instanceof Error ? error : new Error(String(error)))
  }

  private closed(error: NodeJS.ErrnoException | undefined): void {
    if (this.gone) return
    this.gone = true
    this.ending = true
    this.closing.remove(this)
    // Both halves are done; a stream without autoDestroy is still to be released.
    this.stream.destroy()
    // A close without 'end' and without an error of its own says nothing more than that it is closed.
    const reason = error?.code === 'ERR_STREAM_PREMATURE_CLOSE' ? undefined : error
    try {
      this.handler?.ended(reason)
    } catch (thrown) {
      this.log.error({ err: thrown, remote: this.remote }, 'a connection handler failed after its connection was closed')
    }
  }
}

function toBuffer(chunk: Buffer | Uint8Array | string): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk
  // A stream with an encoding set has lost what is not text; 'latin1' at least keeps the bytes of a 'binary' one.
  if (typeof chunk === 'string') return Buffer.from(chunk, 'latin1')
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

function remoteOf(stream: Duplex): string {
  const peer = stream as Partial<Pick<net.Socket, 'remoteAddress' | 'remotePort'>>
  return typeof peer.remoteAddress === 'string' ? formatAddress(peer.remoteAddress, peer.remotePort) : 'stream'
}

function ignore(): void {}
