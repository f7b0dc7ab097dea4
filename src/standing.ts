/**
 * Keeps the broker on its feet: opens the store, and after a commit that failed closes it, opens it again with back-off until that
 * succeeds, and rebuilds everything through the same code as a start. A handle that failed a write is never written to again: it may
 * accept and even "sync" what is gone after a restart (design §5).
 *
 * States: *closed* → *open* (ready) → *failed* (not ready, no connection) → *open* again; → *closed* from any.
 */
import type { Broker } from './broker/broker.js'
import { AqueductError, hasCode } from './core/errors.js'
import type { Log } from './core/log.js'
import type { Readiness } from './http/health.js'
import { Histogram } from './metrics/histogram.js'
import { openStore, type Store, type StoreOptions } from './store/store.js'

const REOPEN_FIRST_MS = 250
const REOPEN_MAX_MS = 5_000
/** What cannot be read now may be read the next time; not after this. */
const CORRUPTIONS_MAX = 2

export class Standing {
  store: Store | undefined
  /** Times a failed store was opened again, and commits that failed. */
  reopened = 0
  commitFailures = 0
  commits = 0
  /** How long each commit took to be stored. */
  readonly commitSeconds = new Histogram()
  private state: 'closed' | 'open' | 'failed' = 'closed'
  private reason = 'starting'
  private reopening: Promise<void> | undefined
  /** Commits that failed on damage in LevelDB's own files. */
  private corruptions = 0
  /** Of stores that failed since. */
  private damaged: ReadonlyMap<string, number> = new Map()
  private readonly broker: Broker
  private readonly options: StoreOptions
  private readonly log: Log

  constructor(broker: Broker, options: StoreOptions, log: Log) {
    this.broker = broker
    this.options = options
    this.log = log
  }

  /** The first start. Rejects with what is wrong with the folder. */
  async open(): Promise<void> {
    try {
      await this.build()
    } catch (error) {
      throw advised(error)
    }
  }

  /** Bytes that the file system of the store has left, as last looked at. */
  get freeBytes(): number {
    return this.store?.freeBytes ?? 0
  }

  /** Rows found damaged since the process started, by kind. */
  get damagedRows(): ReadonlyMap<string, number> {
    const all = new Map(this.damaged)
    for (const [kind, n] of this.store?.damage.byKind ?? []) all.set(kind, (all.get(kind) ?? 0) + n)
    return all
  }

  readiness(): Readiness {
    if (this.state !== 'open') return { ready: false, reason: this.reason }
    if (this.store?.full === true)
      return { ready: false, reason: 'less than store.min_free_bytes is free: new messages are refused' }
    return { ready: true }
  }

  async close(): Promise<void> {
    const failed = this.state === 'failed'
    this.state = 'closed'
    this.reason = 'stopping'
    if (failed) await this.reopening
    await this.store?.close()
    this.store = undefined
  }

  private async build(): Promise<void> {
    const began = this.options.clock.uptime_ms()
    const store = await openStore(this.options)
    store.onFailed = (error) => this.failed(store, error)
    this.measure(store)
    try {
      const found = await this.broker.open(store)
      this.store = store
      this.state = 'open'
      const ms = Math.round(this.options.clock.uptime_ms() - began)
      this.log.info({ ...found, ms, path: this.options.path, durability: this.options.durability }, 'store open')
    } catch (error) {
      this.broker.suspend()
      await store.close().catch(() => {})
      throw error
    }
  }

  private measure(store: Store): void {
    const { clock } = this.options
    let began = 0
    store.journal.contribute({
      seal: () => {
        began = clock.uptime_ms()
      },
      committed: () => {
        this.commits++
        this.commitSeconds.observe((clock.uptime_ms() - began) / 1000)
      },
    })
  }

  private failed(store: Store, error: AqueductError): void {
    if (this.state === 'closed' || store !== this.store) return
    this.commitFailures++
    this.state = 'failed'
    this.reason = `a commit failed: ${error.message}`
    this.log.error(
      { err: error, path: this.options.path },
      'a commit failed: nothing is acknowledged until the store is open again',
    )
    this.broker.suspend()
    if (hasCode(error, 'store_damaged') && ++this.corruptions >= CORRUPTIONS_MAX) this.giveUp(store, error)
    else this.reopening = this.reopen(store)
  }

  /** LevelDB comes upon something in its tables that it cannot get over, again: it would after each opening, and the broker go up and down. */
  private giveUp(store: Store, error: AqueductError): void {
    this.damaged = this.damagedRows
    this.store = undefined
    this.reason = `the store is damaged and takes nothing any more: ${error.message}`
    this.log.error(
      { err: error, path: this.options.path },
      'the store is damaged and is not opened again. Stop the broker and restore store.path from a copy, or move it away to start empty',
    )
    this.reopening = store.close().catch(() => {})
  }

  private async reopen(failed: Store): Promise<void> {
    this.damaged = this.damagedRows
    this.store = undefined
    await failed.close().catch(() => {})
    let wait_ms = REOPEN_FIRST_MS
    let said = ''
    while (this.state === 'failed') {
      await new Promise<void>((resolve) => this.options.clock.after(wait_ms, resolve))
      wait_ms = Math.min(wait_ms * 2, REOPEN_MAX_MS)
      if ((this.state as string) !== 'failed') return
      try {
        await this.build()
        this.reopened++
        this.log.warn({ path: this.options.path }, 'the store is open again')
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        this.reason = `the store cannot be opened again yet: ${why}`
        // Once per reason, not once per try.
        if (why !== said) this.log.error({ err: error, path: this.options.path }, 'the store cannot be opened again yet')
        said = why
      }
    }
  }
}

/** A disk that failed at a start: whatever it was that failed, the sentence says what to do. */
export function advised(error: unknown): unknown {
  if (!(error instanceof Error) || !hasCode(error, 'store_failed') || error.message.includes('Try again')) return error
  const said = error.message.trim().replace(/\.$/, '')
  return new AqueductError('store_failed', `${said}. Try again when the disk can be read and written.`, { cause: error })
}
