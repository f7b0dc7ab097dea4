/**
 * Takes over what plain Aedes had stored: sessions with subscriptions, queued messages in their order, QoS 2 handshakes, retained messages, wills.
 *
 * The store must be empty, and says with a row of its own that an import has begun or is done: a second one is refused, and so is one after an
 * import that was interrupted (remove the folder and begin again; the source was not changed).
 */
import { AqueductError } from '../../core/errors.js'
import { inboundKey, metaKey, willKey, wills } from '../../store/keys.js'
import { filterFault, matches, topicFault } from '../../topics/names.js'
import { bytesOf } from '../client-api.js'
import { inboundOf, viewOf } from '../message.js'
import { payloadBytes, qosOf, type StoredPacket } from '../persistence-packets.js'
import { writeWillRecord } from '../records.js'
import type { Session } from '../session.js'
import type { BrokerState, Stored } from '../state.js'
import type { AedesSource } from './source.js'

export interface Imported {
  readonly sessions: number
  /** Queued messages, PUBRELs that are due included. */
  readonly messages: number
  readonly retained: number
  readonly wills: number
  /** What was left behind, one sentence each. */
  readonly warnings: readonly string[]
}

const marker = metaKey('import-aedes')
/** Steps per commit. */
const STEPS = 1_000

/** Reads all of `source` into the store that `state` stands on. Throws `store_damaged` when that is not empty. */
export async function importAedes(state: BrokerState, source: AedesSource, path: string): Promise<Imported> {
  const { stored } = state
  if (stored === null) throw new AqueductError('store_failed', 'The store is not open.')
  await refuseUsed(stored, path)
  return new Import(state, stored, source).run()
}

async function refuseUsed(stored: Stored, path: string): Promise<void> {
  const mark = (await stored.store.disk.get(marker))?.toString()
  const how = 'Set another store.path, or remove that folder.'
  if (mark === 'begun')
    throw new AqueductError('store_damaged', `An import into ${path} was interrupted. Remove that folder and import again.`)
  if (mark !== undefined) throw new AqueductError('store_damaged', `${path} already holds an import. ${how}`)
  let used = stored.sessions.size > 0 || stored.retained.size > 0
  for await (const _ of stored.store.disk.scan(wills, { limit: 1 })) used = true
  if (used) throw new AqueductError('store_damaged', `${path} is in use: an import needs an empty store. ${how}`)
}

class Import {
  private readonly state: BrokerState
  private readonly stored: Stored
  private readonly source: AedesSource
  private readonly warnings: string[] = []
  private steps = 0

  constructor(state: BrokerState, stored: Stored, source: AedesSource) {
    this.state = state
    this.stored = stored
    this.source = source
  }

  async run(): Promise<Imported> {
    const { journal } = this.stored.store
    journal.put(marker, Buffer.from('begun'))
    await journal.flush()
    for await (const id of this.source.clients('subscriptions')) await this.subscriptions(id)
    let queued = 0
    for await (const id of this.source.clients('outgoing')) queued += await this.outgoing(id)
    for await (const id of this.source.clients('incoming')) await this.incoming(id)
    const retained = await this.retained()
    const left = await this.wills()
    await journal.flush()
    const messages = this.waiting()
    if (messages < queued)
      this.warnings.push(`${queued - messages} queued messages did not fit into session.max_messages or session.max_bytes`)
    journal.put(marker, Buffer.from('done'))
    await journal.flush()
    return { sessions: this.stored.sessions.size, messages, retained, wills: left, warnings: this.warnings }
  }

  private async subscriptions(id: string): Promise<void> {
    const session = this.open(id)
    for (const { topic, qos, nl, rap } of await this.source.subscriptions(id)) {
      const wrong = filterFault(topic, this.state.settings.max_topic_levels)
      if (wrong === undefined)
        this.stored.sessions.subscribe(session, topic, {
          qos: qosOf({ qos }),
          noLocal: nl === true,
          retainAsPublished: rap === true,
        })
      else this.warnings.push(`a subscription of ${id} was left out: ${wrong}`)
      await this.step()
    }
  }

  /** PUBRELs first: they go out first, and their places in the queue are settled while it is empty. */
  private async outgoing(id: string): Promise<number> {
    const session = this.open(id)
    let count = 0
    for await (const packet of this.source.outgoing(id)) {
      if (packet.cmd !== 'pubrel' || packet.messageId === undefined) continue
      const seq = this.append(session, { topic: 'pubrel', payload: '', qos: 2, retain: false })
      await this.stored.store.journal.flush()
      if (seq !== undefined && session.mailbox.settle(seq, packet.messageId)) count++
    }
    for await (const packet of this.source.outgoing(id)) {
      if (packet.cmd === 'pubrel') continue
      const wrong = topicFault(packet.topic, this.state.settings.max_topic_levels)
      if (wrong !== undefined) {
        this.warnings.push(`a message for ${id} was left out: ${wrong}`)
        continue
      }
      const seq = this.append(session, packet)
      if (seq !== undefined) count++
      // It had been sent: it goes out with its old identifier and DUP, so that a QoS 2 client knows it again.
      if (seq !== undefined && packet.messageId !== undefined && packet.messageId !== null)
        session.mailbox.assign(seq, packet.messageId)
      await this.step()
    }
    return count
  }

  /** Plain Aedes queues copies at the publisher's QoS; here each has the lower of that and the subscription's. */
  private append(session: Session, packet: StoredPacket): number | undefined {
    const { store, mailboxes } = this.stored
    let granted = -1
    for (const [filter, { qos }] of session.filters ?? []) if (qos > granted && matches(filter, packet.topic)) granted = qos
    const qos = granted <= 0 ? qosOf(packet) : Math.min(granted, qosOf(packet))
    if (qos === 0) return undefined
    const expiresAt = typeof packet.messageExpiry === 'number' ? packet.messageExpiry : 0
    mailboxes.begin(viewOf(Buffer.from(packet.topic), payloadBytes(packet), this.state.clock.now(), undefined, expiresAt))
    return mailboxes.append(session.mailbox, qos, false) ? store.messages.openSeq : undefined
  }

  private async incoming(id: string): Promise<void> {
    const session = this.open(id)
    for await (const { messageId } of this.source.incoming(id)) {
      if (messageId === undefined) continue
      session.claim(messageId)
      this.stored.store.journal.put(inboundKey(session.id, messageId), Buffer.from([1]))
      await this.step()
    }
  }

  private async retained(): Promise<number> {
    let count = 0
    for await (const packet of this.source.retained()) {
      // What a broker says of itself it says anew.
      if (packet.topic.startsWith('$SYS/')) continue
      const topic = this.state.routes.topics.internName(packet.topic)
      if (topic === undefined) {
        this.warnings.push(`the retained message of ${JSON.stringify(packet.topic)} was left out: not a topic name`)
        continue
      }
      const payload = bytesOf(packet.payload)
      if (payload.length === 0) continue
      this.stored.retained.set(inboundOf(topic, payload, qosOf(packet), true, this.state.clock.now()))
      count++
      await this.step()
    }
    return count
  }

  /** They go out when the broker starts: their clients' connections ended with the other one. */
  private async wills(): Promise<number> {
    let count = 0
    for await (const will of this.source.wills()) {
      const wrong = topicFault(will.topic, this.state.settings.max_topic_levels)
      if (wrong !== undefined) {
        this.warnings.push(`the will of ${will.clientId} was left out: ${wrong}`)
        continue
      }
      const view = viewOf(Buffer.from(will.topic), payloadBytes(will), this.state.clock.now())
      const message = { view, qos: qosOf(will), retain: will.retain === true, fields: undefined }
      const record = writeWillRecord({ message, delay_s: 0, dueAt: 0, expiry_s: undefined, judged: false })
      this.stored.store.journal.put(willKey(will.clientId), record)
      count++
      await this.step()
    }
    return count
  }

  private waiting(): number {
    let count = 0
    for (const { mailbox } of this.stored.sessions.all()) count += mailbox.waiting + [...mailbox.released()].length
    return count
  }

  private open(id: string): Session {
    return this.stored.sessions.openOffline(id)
  }

  private async step(): Promise<void> {
    if (++this.steps % STEPS !== 0) return
    await this.stored.store.journal.flush()
    if (this.stored.store.full)
      throw new AqueductError(
        'store_full',
        'The disk is nearly full: the import was stopped. Make room and import again into a new folder.',
      )
  }
}
