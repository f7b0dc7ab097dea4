/**
 * A folder of aedes-persistence-level 9.2, read through that package itself: its keys tell which clients there are, its own methods what they have.
 *
 *   subscriptions:{client}:{filter} · outgoing:{client}:{broker id}:{counter} · outgoing-id:… (the same packets by identifier) ·
 *   incoming:{client}:{identifier} · retained:{topic} · will:{client}          ({client} as encodeURIComponent writes it)
 */
import { rm } from 'node:fs/promises'
import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js'
import { Level } from 'level'
import { AqueductError } from '../../core/errors.js'
import type { StoredSubscription } from '../persistence.js'
import type { StoredPacket } from '../persistence-packets.js'
import { copyDatabase } from './folder.js'

const KINDS = ['subscriptions', 'outgoing', 'outgoing-id', 'incoming', 'retained', 'will']

export class AedesSource {
  private readonly folder: string
  private readonly copy: string
  private readonly db: Level<string, Buffer>
  private readonly persistence: AsyncLevelPersistence

  constructor(folder: string, copy: string, db: Level<string, Buffer>) {
    this.folder = folder
    this.copy = copy
    this.db = db
    this.persistence = new AsyncLevelPersistence(db)
  }

  /** Closes and removes the working copy. */
  async close(): Promise<void> {
    await this.db.close().catch(() => {})
    await rm(this.copy, { recursive: true, force: true })
  }

  /** Throws `store_damaged` when there is something and nothing of it is Aedes's. */
  async check(): Promise<void> {
    for (const kind of KINDS) for await (const _ of this.db.keys({ ...rangeOf(kind), limit: 1 })) return
    for await (const key of this.db.keys({ limit: 1 })) {
      throw new AqueductError(
        'store_damaged',
        `${this.folder} is a LevelDB database, but not one of aedes-persistence-level (its first key is ${JSON.stringify(key.slice(0, 40))}). Nothing was imported.`,
      )
    }
  }

  /** Clients with rows of this kind, in order of their keys. */
  async *clients(kind: 'subscriptions' | 'outgoing' | 'incoming'): AsyncGenerator<string> {
    let last = ''
    for await (const key of this.db.keys(rangeOf(kind))) {
      const encoded = key.slice(kind.length + 1, key.indexOf(':', kind.length + 1))
      if (encoded === last) continue
      last = encoded
      yield this.decoded(encoded)
    }
  }

  async subscriptions(id: string): Promise<StoredSubscription[]> {
    return this.reading(
      `subscriptions of ${id}`,
      async () => (await this.persistence.subscriptionsByClient({ id })) as StoredSubscription[],
    )
  }

  /** What waits for a client: by broker id, then in order. How runs of a broker with different ids followed each other is not stored there. */
  outgoing(id: string): AsyncGenerator<StoredPacket> {
    return this.all(`messages for ${id}`, () => this.persistence.outgoingStream({ id }))
  }

  /** QoS 2 packets between PUBLISH and PUBREL. */
  async *incoming(id: string): AsyncGenerator<StoredPacket> {
    const prefix = `incoming:${encodeURIComponent(id)}:`
    for await (const key of this.db.keys({ gte: prefix, lt: `${prefix.slice(0, -1)};` })) {
      const messageId = Number(key.slice(prefix.length))
      yield await this.reading(`QoS 2 packet of ${id}`, async () => ({
        ...((await this.persistence.incomingGetPacket({ id }, { messageId })) as StoredPacket),
        messageId,
      }))
    }
  }

  retained(): AsyncGenerator<StoredPacket> {
    return this.all('retained messages', () => this.persistence.createRetainedStream('#'))
  }

  wills(): AsyncGenerator<StoredPacket & { clientId: string }> {
    return this.all('wills', () => this.persistence.streamWill())
  }

  private async *all<T>(what: string, open: () => AsyncIterable<unknown>): AsyncGenerator<T> {
    const rows = open()[Symbol.asyncIterator]()
    for (;;) {
      const step = await this.reading(what, () => rows.next())
      if (step.done === true) return
      yield step.value as T
    }
  }

  private decoded(encoded: string): string {
    try {
      return decodeURIComponent(encoded)
    } catch {
      throw this.damaged(`client id ${encoded}`)
    }
  }

  private async reading<T>(what: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      throw this.damaged(what, error)
    }
  }

  private damaged(what: string, cause?: unknown): AqueductError {
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    return new AqueductError(
      'store_damaged',
      `${this.folder}: ${what} cannot be read${why}. Is it from aedes-persistence-level 9?`,
      { cause },
    )
  }
}

/** Opens a copy of `folder` in `copy`. Throws `store_damaged` or `store_locked` and leaves nothing behind. */
export async function openSource(folder: string, copy: string): Promise<AedesSource> {
  const remove = () => rm(copy, { recursive: true, force: true })
  try {
    await copyDatabase(folder, copy)
  } catch (error) {
    await remove()
    throw error
  }
  const db = new Level<string, Buffer>(copy, { createIfMissing: false, keyEncoding: 'utf8', valueEncoding: 'buffer' })
  const source = new AedesSource(folder, copy, db)
  try {
    await db.open()
  } catch (error) {
    await source.close()
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    throw new AqueductError('store_damaged', `${folder} cannot be opened as a LevelDB database: ${why}`, { cause: error })
  }
  try {
    await source.check()
  } catch (error) {
    await source.close()
    throw error
  }
  return source
}

function rangeOf(kind: string): { gte: string; lt: string } {
  return { gte: `${kind}:`, lt: `${kind};` }
}
