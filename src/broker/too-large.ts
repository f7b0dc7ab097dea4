/**
 * Packets that are larger than is taken. They are refused by the length that they declare; who sent it is told where the version has a word for it, and a line in
 * the log says so, since a client of an earlier version knows nothing but that it was disconnected.
 *
 * Always true: nothing of the body was kept but, of a CONNECT, the seven bytes that say in which version to answer.
 */
import { CONNECT, Reason } from '../mqtt/constants.js'
import { connack } from '../mqtt/encode.js'
import type { Frame } from '../mqtt/frame.js'
import type { Connection } from './connection.js'

/** How a CONNECT of MQTT 5 begins: the protocol name and its level. */
const FIVE = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 5])

/** The packet of `frame` begins at `pos` of `buf`, which has come up to `end`. False when a few more bytes tell how to refuse it. */
export function refuseTooLarge(c: Connection, frame: Frame, buf: Buffer, pos: number, end: number): boolean {
  const bytes = frame.bodyEnd - pos
  const max_bytes = c.packetBytesMax
  const text = `a packet of ${bytes} bytes; this server takes ${max_bytes}`
  const connecting = c.phase === 'waiting' && frame.type === CONNECT
  if (connecting) {
    const known = Math.min(end - frame.bodyStart, FIVE.length)
    const isFive = buf.compare(FIVE, 0, known, frame.bodyStart, frame.bodyStart + known) === 0
    if (isFive && known < FIVE.length) return false
    if (isFive) c.send(connack(5, Reason.packet_too_large, false, { reasonString: text }))
  }
  const { seldom, stats } = c.state
  const who = c.id === '' ? {} : { client: c.id }
  seldom.warn(
    { ...who, remote: c.transport.remote, bytes, max_bytes },
    connecting ? 'a CONNECT is too large: connection closed' : 'a packet is larger than mqtt.max_packet_bytes: connection closed',
  )
  stats.tooLarge++
  c.refuse(Reason.packet_too_large, text)
  return true
}
