/**
 * What a set of durable queues should do, in a page: lists of entries, and a copy of them per commit. Knows nothing of rows, rings, pages or
 * checkpoints.
 */
export interface ModelEntry {
  index: number
  payload: string
  flags: number
  extra: string | undefined
  bytes: number
  /** Number of the append, over all queues: what a commit makes visible. */
  at: number
  state: 'ready' | 'leased'
  /** Was handed out and came back, so it goes before all that never were. */
  back: boolean
}

export interface ModelQueue {
  nextIndex: number
  entries: ModelEntry[]
}

export class QueuesModel {
  queues = new Map<string, ModelQueue>()
  /** Appends so far, and how many of them are committed. */
  at = 0
  committedAt = 0
  private committed: { queues: Map<string, ModelQueue>; at: number } = { queues: new Map(), at: 0 }
  private sealed: { queues: Map<string, ModelQueue>; at: number }[] = []

  /** A batch goes to the disk. */
  seal(): void {
    this.sealed.push({ queues: structuredClone(this.queues), at: this.at })
  }

  /** The oldest batch is on the disk. */
  applied(): void {
    const state = this.sealed.shift()
    if (state === undefined) throw new Error('nothing was sealed')
    this.committed = state
    this.committedAt = state.at
  }

  /** The process is gone: what is on the disk remains, and nothing is leased. */
  crash(): void {
    this.sealed = []
    this.queues = structuredClone(this.committed.queues)
    for (const queue of this.queues.values()) for (const e of queue.entries) e.state = 'ready'
    this.committedAt = this.at
  }

  create(name: string): void {
    this.queues.set(name, { nextIndex: 0, entries: [] })
  }

  delete(name: string): void {
    this.queues.delete(name)
  }

  queue(name: string): ModelQueue {
    return this.queues.get(name) as ModelQueue
  }

  append(names: string[], payload: string, bytes: number, flags: number, extra: string | undefined): void {
    const at = ++this.at
    for (const name of names) {
      const queue = this.queue(name)
      queue.entries.push({ index: queue.nextIndex++, payload, flags, extra, bytes, at, state: 'ready', back: false })
    }
  }

  /** The entry that goes out next. */
  next(name: string): ModelEntry | undefined {
    const e = this.queue(name).entries.find((e) => e.state === 'ready')
    return e !== undefined && e.at <= this.committedAt ? e : undefined
  }

  byIndex(name: string, index: number): ModelEntry | undefined {
    return this.queue(name).entries.find((e) => e.index === index)
  }

  remove(name: string, index: number): void {
    const queue = this.queue(name)
    queue.entries = queue.entries.filter((e) => e.index !== index)
  }

  releaseAll(name: string): void {
    for (const e of this.queue(name).entries) e.state = 'ready'
  }

  purge(name: string, leased: boolean): number {
    const queue = this.queue(name)
    const before = queue.entries.length
    queue.entries = leased ? [] : queue.entries.filter((e) => e.state === 'leased')
    return before - queue.entries.length
  }

  dropOldest(name: string): void {
    const e = this.queue(name).entries.find((e) => e.state === 'ready')
    if (e !== undefined) this.remove(name, e.index)
  }
}
