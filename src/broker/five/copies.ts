/** One copy for one MQTT 5 client: aliases, the time that is left, subscription identifiers, and the client's Maximum Packet Size. */
import type { MessageView } from '../../store/message.js'
import type { Connection } from '../connection.js'
import { type Inbound, ROOM_BYTES } from '../message.js'
import { passPacket } from '../writing.js'
import { hasIdentifiers, IDENTIFIERS_FROM } from './identifiers.js'
import type { Peer } from './peer.js'
import { CopyFields, writePlain5, writePublish5 } from './writing.js'

const fields = new CopyFields()
/** In the first byte of a PUBLISH. */
const QOS_2 = 0x04

/**
 * A message in the shape that is kept, `gap` bytes between topic and payload. False when it is larger than the client takes: that counts
 * as delivered [MQTT-3.1.2-25].
 */
export function sendCopy5(
  c: Connection,
  peer: Peer,
  m: MessageView,
  first: number,
  packetId: number,
  extra: Buffer | undefined,
  gap: number = ROOM_BYTES,
): boolean {
  if (m.properties === undefined && extra === undefined && m.expiresAt === 0 && peer.aliasesOut === null)
    return sent(c, writePlain5(c.output, m, gap, first, packetId, peer.packetBytesMax))
  fields.first = first
  fields.packetId = packetId
  fields.gap = gap
  fields.remaining_s = m.expiresAt === 0 ? -1 : remaining_s(m.expiresAt, c.state.clock.now())
  fields.identifiers = hasIdentifiers(extra) ? extra : undefined
  fields.identifiersFrom = IDENTIFIERS_FROM
  fields.alias = 0
  fields.aliasKnown = false
  if (peer.aliasesOut !== null) return sendAliased(c, peer, m, (first & QOS_2) !== 0)
  return sent(c, writePublish5(c.output, m, fields, peer.packetBytesMax))
}

/** The message that is being admitted, at QoS 0: its packet as it came where that is possible. */
export function sendInbound5(c: Connection, peer: Peer, m: Inbound, retain: boolean, extra: Buffer | undefined): boolean {
  const first = retain ? 0x31 : 0x30
  const passes = m.packetStart >= 0 && m.packetOf5 && extra === undefined && peer.aliasesOut === null
  if (!passes) return sendCopy5(c, peer, m, first, 0, extra, m.gap)
  if (m.packetEnd - m.packetStart > peer.packetBytesMax) return sent(c, false)
  passPacket(c.output, m, first)
  return true
}

/**
 * With an alias for the topic: one that the client knows, or the next one, or none. `named`: the topic goes with it all the same. So at QoS 2, where a
 * client puts the message by until PUBREL, and the mqtt package for Node then no longer knows what an alias meant.
 */
function sendAliased(c: Connection, peer: Peer, m: MessageView, named: boolean): boolean {
  const aliases = peer.aliasesOut
  const topic = c.state.routes.topics.intern(m.buffer, m.bodyStart + 2, m.payloadStart - fields.gap)
  if (aliases !== null && topic !== undefined) {
    const known = aliases.of(topic)
    fields.alias = known > 0 ? known : aliases.next
    fields.aliasKnown = known > 0 && !named
    if (writePublish5(c.output, m, fields, peer.packetBytesMax)) {
      if (fields.alias > 0 && known === 0) aliases.sent(topic)
      return true
    }
    // The alias itself may be what makes it too large.
    if (fields.aliasKnown || fields.alias === 0) return sent(c, false)
    fields.alias = 0
  }
  return sent(c, writePublish5(c.output, m, fields, peer.packetBytesMax))
}

function sent(c: Connection, written: boolean): boolean {
  if (!written) c.state.stats.droppedTooLarge++
  return written
}

/** Whole seconds that are left, so that the interval is what was asked for less the whole seconds that the message waited. */
export function remaining_s(expiresAt: number, now: number): number {
  return Math.max(0, Math.ceil((expiresAt - now) / 1000))
}
