/**
 * The smallest thing that we ask of a storage engine: ordered bytes, an atomic batch, and a flush. LevelDB (`level.ts`)
 * and a sorted array in memory (`memory.ts`) both are one, and pass the same suite (`test/contract/disk.ts`).
 *
 * Always true:
 * - a batch is applied whole or not at all, also over a kill;
 * - with `sync` its promise resolves only when it would survive a power cut, and so would every earlier synced batch;
 * - a `Disk` that failed a write refuses every later one (`store_failed`), even if the engine beneath would accept it.
 */
export interface Disk {
  /** Applies `ops` in order as one atomic batch. Rejects with `store_failed`. */
  write(ops: readonly Op[], sync: boolean): Promise<void>
  /** The value under `key`, or undefined. Rejects with `store_damaged` when the row is there and not what was written, else with `store_failed`. */
  get(key: Buffer): Promise<Buffer | undefined>
  /** The same, at once. Blocks the event loop for the read: for single small rows only. */
  getSync(key: Buffer): Buffer | undefined
  /** Rows of `range` in key order. Memory is bounded however long the range is. What is damaged is left out; see `ScanOptions.onDamaged`. */
  scan(range: KeyRange, options?: ScanOptions): AsyncIterable<Row>
  /** Gives the space of deleted rows in `range` back to the file system. */
  compact(range: KeyRange): Promise<void>
  /** Bytes that the rows of `range` take, roughly. */
  approximateBytes(range: KeyRange): Promise<number>
  /** Bytes that a new row could still take on the file system, or Infinity. */
  freeBytes(): Promise<number>
  close(): Promise<void>
}

export type Op =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer }

export interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

/** Half open: `gte` ≤ key < `lt`. Both ends are always given, so that no scan walks into another range's tombstones. */
export interface KeyRange {
  readonly gte: Buffer
  readonly lt: Buffer
}

/** A row that is not what was written. With `lt`: a stretch that cannot be read, so that some rows `key` ≤ k < `lt` are missing. */
export interface Damaged {
  readonly key: Buffer
  readonly lt?: Buffer
}

export interface ScanOptions {
  /** Told of what was left out, in its place in the order; of a stretch at the end. */
  readonly onDamaged?: (damaged: Damaged) => void
  readonly reverse?: boolean
  /** Rows at most. */
  readonly limit?: number
  /** Only keys are wanted: every value is empty. */
  readonly keysOnly?: boolean
  /** Rows that may be fetched in one go: few for who works in the background, since the event loop waits while they are made. */
  readonly rowsAtOnce?: number
}

export type Durability = 'fsync' | 'os' | 'memory'
