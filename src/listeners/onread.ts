/**
 * Accepted sockets that read into one shared buffer.
 *
 * Node offers `onread` to sockets that connect, not to those that a server accepts, and without it every read allocates a
 * chunk of up to 64 KiB. This file, and no other, reaches it for accepted sockets: it replaces `onconnection` of the listening
 * handle and builds the `net.Socket` itself. Both are undocumented, so nothing is taken for granted: whatever is missing, here or
 * on the first accepted handle, sends that connection and all later ones the documented way, as a `'connection'` event.
 *
 * Always true: the buffer is filled and consumed within one callback, so connections never see each other's bytes.
 * Not used by this way: `server.maxConnections`, `server.getConnections` and the `'connection'` event.
 */
import * as net from 'node:net'

/** Bytes per read at most; also what libuv would offer by itself. */
const READ_BUFFER_BYTES = 65_536

/** Called with the socket as `this` for each read; the bytes are valid during the call only. True: go on reading. */
export type OnRead = (this: net.Socket, bytes: number, buffer: Buffer) => boolean

interface ServerHandle {
  onconnection: (status: number, handle: ClientHandle | undefined) => void
}

/** The parts of a `TCP` handle that a socket needs for `onread`. */
interface ClientHandle {
  useUserBuffer: unknown
  readStart: unknown
  readStop: unknown
}

/**
 * Makes a *listening* `server` give sockets that call `onRead` to `onSocket`. False when this Node has other insides: the server
 * is then untouched and emits `'connection'` as usual. Keep a `'connection'` listener in either case.
 */
export function shareReadBuffer(server: net.Server, onSocket: (socket: net.Socket) => void, onRead: OnRead): boolean {
  const handle = (server as unknown as { _handle?: Partial<ServerHandle> | null })._handle
  const documented = handle?.onconnection
  if (handle == null || typeof documented !== 'function') return false

  // One options object for all: the callback gets its socket as `this`.
  const onread = { buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES), callback: onRead }
  handle.onconnection = function (this: ServerHandle, status, client): void {
    if (status !== 0 || client === undefined) {
      documented.call(this, status, client)
      return
    }
    if (!canShare(client)) {
      this.onconnection = documented
      documented.call(this, status, client)
      return
    }
    onSocket(new net.Socket({ handle: client, onread } as unknown as net.SocketConstructorOpts))
  }
  return true
}

function canShare(client: Partial<ClientHandle>): boolean {
  return (
    typeof client.useUserBuffer === 'function' && typeof client.readStart === 'function' && typeof client.readStop === 'function'
  )
}
