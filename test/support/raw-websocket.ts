/** The client's half of WebSocket, byte by byte: frames that no library would write, and many of them in one segment. */
import { randomBytes } from 'node:crypto'
import type * as net from 'node:net'
import { connect } from './transports.js'

export interface FrameOptions {
  /** Default: the last of its message. */
  readonly fin?: boolean
  readonly mask?: Buffer | null
  /** Bits 4 to 6 of the first byte. */
  readonly reserved?: number
  /** Says another length than there are bytes. */
  readonly length?: number
}

export const WS = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export function wsFrame(opcode: number, payload: Buffer, o: FrameOptions = {}): Buffer {
  const { fin = true, mask = randomBytes(4), reserved = 0, length = payload.length } = o
  const bit = mask === null ? 0 : 0x80
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  let head: Buffer
  if (length < 126) head = Buffer.from([first, bit | length])
  else if (length < 65_536) head = Buffer.from([first, bit | 126, length >> 8, length & 255])
  else {
    head = Buffer.alloc(10)
    head[0] = first
    head[1] = bit | 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  if (mask === null) return Buffer.concat([head, payload])
  const masked = Buffer.from(payload)
  for (let i = 0; i < masked.length; i++) masked[i] ^= mask[i & 3]
  return Buffer.concat([head, mask, masked])
}

/** An upgraded socket. What is written next goes out as it is. */
export async function openRawWebSocket(port: number, path = '/mqtt'): Promise<net.Socket> {
  const socket = await connect(port, { noDelay: true })
  socket.on('error', () => {})
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`,
  )
  const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
  if (!answer.startsWith('HTTP/1.1 101')) throw new Error(answer)
  return socket
}
