/**
 * The outgoing part of Aedes's persistence contract on the mailboxes of our sessions. What is enqueued here is delivered like any message; what is
 * read here is what waits there.
 *
 * A packet is known by broker id and counter, as the contract has it; one that came in over MQTT has our own id and its store sequence. The
 * identifier that `outgoingUpdate` gives is the one under which our delivery sends the message.
 */
import { AqueductError } from '../core/errors.js'
import { topicFault } from '../topics/names.js'
import { viewOf } from './message.js'
import { packetOf, payloadBytes, qosOf, queuedFields, readFields, type StoredPacket } from './persistence-packets.js'
import { type Boxed, FLAG_QOS, FLAG_RETAIN } from './ports.js'
import type { Session } from './session.js'
import type { BrokerState, Stored } from './state.js'

/** Who gets a packet: what `subscriptionsByTopic` yields, or only a client id. */
export interface Recipient {
  readonly clientId: string
  readonly qos?: number
  readonly rap?: boolean
}

/** PUBREL in the place of its message. */
export interface StoredPubrel {
  readonly cmd: 'pubrel'
  readonly messageId: number
}

/** A packet, or what names one. */
export interface PacketName {
  readonly cmd?: string
  readonly brokerId?: string
  readonly brokerCounter?: number
  readonly messageId?: number | undefined
}

/**
 * Puts one copy per recipient into the open group, each at the lower of packet's and subscription's QoS; copies of QoS 0 are not kept. Throws
 * `store_full`, `topic_invalid`, or `queue_full` when a session's limit refused a copy (the others are in).
 */
export function enqueue(
  state: BrokerState,
  stored: Stored,
  open: (id: string) => Session,
  to: readonly Recipient[],
  packet: StoredPacket,
): void {
  const wrong = topicFault(packet.topic, state.settings.max_topic_levels)
  if (wrong !== undefined) throw new AqueductError('topic_invalid', wrong)
  if (stored.store.full) throw new AqueductError('store_full', 'The disk is nearly full: the packet was not queued.')
  const expiresAt = typeof packet.messageExpiry === 'number' ? packet.messageExpiry : 0
  const view = viewOf(Buffer.from(packet.topic), payloadBytes(packet), state.clock.now(), undefined, expiresAt)
  const fields = queuedFields(packet)
  const sessions = to.map(({ clientId }) => open(clientId))
  let refused: string | undefined
  stored.mailboxes.begin(view)
  for (const [i, { clientId, qos, rap }] of to.entries()) {
    const granted = Math.min(qosOf(packet), qos === undefined ? 2 : qos)
    if (granted === 0) continue
    const flags = packet.retain === true && rap === true ? granted | FLAG_RETAIN : granted
    if (!stored.mailboxes.append(sessions[i].mailbox, flags, false, fields)) refused = clientId
  }
  if (refused !== undefined) throw new AqueductError('queue_full', `The queue of session "${refused}" is full.`)
}

/** Everything that is under way or waits for a session, in the order in which it goes out. */
export async function* outgoing(session: Session, brokerId: string): AsyncGenerator<StoredPacket | StoredPubrel> {
  for (const messageId of [...session.mailbox.released()]) yield { cmd: 'pubrel', messageId }
  for await (const boxed of session.mailbox.browse()) {
    const packet = await packetIn(boxed, brokerId)
    if (packet !== undefined) yield packet
  }
}

/**
 * Gives a queued packet the identifier under which it goes out, or turns it into a PUBREL. Throws `message_not_found` when there is no such
 * packet.
 */
export async function update(session: Session, brokerId: string, name: PacketName): Promise<void> {
  const { mailbox } = session
  const { messageId } = name
  if (messageId === undefined) throw new AqueductError('message_not_found', 'a packet without identifier cannot be updated')
  if (name.cmd === 'pubrel' && [...mailbox.released()].includes(messageId)) return
  const found = await find(session, brokerId, name)
  if (found === undefined) throw noSuchPacket()
  if (name.cmd !== 'pubrel') mailbox.assign(found.seq, messageId)
  else if (!mailbox.settle(found.seq, messageId)) throw noSuchPacket()
}

/** Ends what goes by an identifier, as PUBACK or PUBCOMP does. The packet, or undefined when there is none. */
export async function clear(
  session: Session,
  brokerId: string,
  messageId: number,
): Promise<StoredPacket | StoredPubrel | undefined> {
  const { mailbox } = session
  if ([...mailbox.released()].includes(messageId)) {
    mailbox.completed(messageId)
    return { cmd: 'pubrel', messageId }
  }
  const found = await find(session, brokerId, { messageId })
  if (found === undefined) return undefined
  const packet = await packetIn(found, brokerId)
  return mailbox.settle(found.seq) ? packet : undefined
}

export function noSuchPacket(): AqueductError {
  return new AqueductError('message_not_found', 'no such packet')
}

/** By broker id and counter when both are given, else by identifier. Looks from the front, where it mostly is. */
async function find(session: Session, brokerId: string, name: PacketName): Promise<Boxed | undefined> {
  const byName = name.brokerId !== undefined && name.brokerCounter !== undefined
  for await (const boxed of session.mailbox.browse()) {
    if (!byName) {
      if (boxed.packetId === name.messageId) return boxed
      continue
    }
    const fields = readFields(boxed.extra)
    if ((fields?.brokerId ?? brokerId) === name.brokerId && (fields?.brokerCounter ?? boxed.seq) === name.brokerCounter)
      return boxed
  }
  return undefined
}

async function packetIn(boxed: Boxed, brokerId: string): Promise<StoredPacket | undefined> {
  const view = await boxed.read()
  if (view === undefined) return undefined
  const qos = (boxed.flags & FLAG_QOS) as 0 | 1 | 2
  const packet = packetOf(view, qos, (boxed.flags & FLAG_RETAIN) !== 0, readFields(boxed.extra))
  return { cmd: 'publish', brokerId, brokerCounter: boxed.seq, ...packet, dup: false, messageId: boxed.packetId }
}
