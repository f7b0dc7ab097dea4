/** Connections that never say CONNECT: with much to hold before it on a WebSocket, and more of them than there are descriptors. */
import { randomBytes } from 'node:crypto'
import type { Attack } from './attack.js'

/** The head of one binary frame of `bytes`, from a client. */
function frameHead(bytes: number): Buffer {
  const head = Buffer.alloc(14)
  head[0] = 0x82
  head[1] = 0x80 | 127
  head.writeBigUInt64BE(BigInt(bytes), 2)
  return head
}

export const beforeConnect: Attack = {
  name: 'half a MiB on each WebSocket before CONNECT',
  counted:
    /^aqueduct_(connections_closed_total\{reason="(malformed|packet_too_large)|refused_total\{limit="mqtt.max_connecting_bytes)/,
  async run(ground) {
    // A CONNECT of half a megabyte that is never whole, in a frame that is never whole.
    const body = Buffer.concat([Buffer.from([0x10, 0xa0, 0xc2, 0x1e, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0]), Buffer.alloc(490_000)])
    const one = (): void => {
      const socket = ground.socket(ground.http_port)
      socket.resume()
      socket.write(
        'GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
          `Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
      )
      // All of it but the last byte: the frame is never whole.
      socket.write(frameHead(body.length + 1))
      socket.write(body)
    }
    while (!ground.over) {
      for (let n = 0; n < 200 && !ground.over; n++) one()
      await ground.pause(2_000)
    }
  },
}

export const descriptors: Attack = {
  name: 'more connections than descriptors',
  descriptors: 256,
  counted: /^aqueduct_refused_total\{limit="(file_descriptors|mqtt.max_connecting)/,
  async run(ground) {
    while (!ground.over) {
      for (let n = 0; n < 400 && !ground.over; n++) ground.socket()
      await ground.pause(1_000)
    }
  },
}
