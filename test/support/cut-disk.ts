import { AqueductError } from '../../src/core/errors.js'
import type { Disk, KeyRange, Op, Row, ScanOptions } from '../../src/store/disk.js'
import { MemoryDisk } from '../../src/store/memory.js'

interface Held {
  ops: readonly Op[]
  resolve: () => void
  reject: (error: Error) => void
}

/**
 * A disk that a test can hold, cut and break. The rows live in `rows`, which outlives it: a crash is dropping this object (with `cut`) and
 * making a new one on the same rows.
 */
export class CutDisk implements Disk {
  readonly rows: MemoryDisk
  /** While true, writes wait for `step`. */
  holding = false
  /** While true, writes are refused, as on a full disk. */
  failing = false
  /** Told of each write that is asked for, before it is applied. */
  onWrite: (ops: readonly Op[], sync: boolean) => void = () => {}
  /** Told of each write that was applied. */
  onApplied: () => void = () => {}
  writes = 0
  compacted: KeyRange[] = []
  free = Number.POSITIVE_INFINITY
  private held: Held[] = []
  private isCut = false
  private broken = false

  constructor(rows = new MemoryDisk()) {
    this.rows = rows
  }

  get waiting(): number {
    return this.held.length
  }

  write(ops: readonly Op[], sync: boolean): Promise<void> {
    if (this.isCut) return new Promise(() => {})
    this.writes++
    this.onWrite(ops, sync)
    if (this.failing || this.broken) {
      this.broken = true
      return Promise.reject(new AqueductError('store_failed', 'The disk is full.'))
    }
    if (!this.holding) return this.apply(ops)
    return new Promise((resolve, reject) => {
      this.held.push({ ops, resolve, reject })
    })
  }

  /** Applies the oldest held write. */
  step(): boolean {
    const write = this.held.shift()
    if (write === undefined) return false
    void this.apply(write.ops).then(write.resolve, write.reject)
    return true
  }

  /** The machine dies: held writes are lost or (`applied`) got through unseen; nothing asked from now on happens. */
  cut(applied: boolean): void {
    this.isCut = true
    if (applied) for (const write of this.held) void this.apply(write.ops)
    this.held = []
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return this.rows.get(key)
  }

  getSync(key: Buffer): Buffer | undefined {
    return this.rows.getSync(key)
  }

  scan(range: KeyRange, options?: ScanOptions): AsyncIterable<Row> {
    return this.rows.scan(range, options)
  }

  compact(range: KeyRange): Promise<void> {
    this.compacted.push(range)
    return Promise.resolve()
  }

  approximateBytes(range: KeyRange): Promise<number> {
    return this.rows.approximateBytes(range)
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.free)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  private apply(ops: readonly Op[]): Promise<void> {
    const done = this.rows.write(ops, false)
    this.onApplied()
    return done
  }
}
