/** Answers to an HTTP upgrade that does not become a WebSocket. There is no response object any more, only the socket. */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** Writes one response with the JSON error of every HTTP door, `{"error": {"code", "message"}}`, and closes. */
export function refuseUpgrade(socket: Duplex, status: number, code: string, message: string): void {
  const body = JSON.stringify({ error: { code, message } })
  socket.on('error', ignore)
  socket.once('finish', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

function ignore(): void {}
