/**
 * The folder as a power cut leaves it, from the log that the preload library wrote.
 *
 * The model, on the careful side of what file systems promise:
 * - Bytes count once a sync of their file has *finished*, if they were written before that sync *began*.
 * - A new name, a rename or a removal counts once its folder was synced, begun after it; a new or renamed file also once the file itself was
 *   synced. Each counts by itself: no order is assumed between names that nobody synced. (With `journal` any finished sync makes all name
 *   changes before it safe, which is what ext4, XFS and Btrfs do though no standard says so.)
 * - A folder exists as soon as something in it does.
 * The *torn* variant adds what may have reached the disk all the same: a prefix of the name changes that were not yet safe, in their order
 * (journalled metadata), and for each file a prefix of its unsynced bytes, cut anywhere. Bytes of one file do not overtake each other there, and
 * no file grows by zeros.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import type { Seeded } from './seeded.js'

const OP = {
  open: 1,
  write: 2,
  sync: 3,
  dirsync: 4,
  rename: 5,
  unlink: 6,
  truncate: 7,
  mkdir: 8,
  rmdir: 9,
  unsupported: 10,
  link: 11,
} as const

/** One record of files.c, `before` and `after` in ns of CLOCK_MONOTONIC. */
export interface Operation {
  op: number
  before: number
  after: number
  handle: number
  offset: number
  /** A path, or two with a zero byte between. */
  text: string
  data: Buffer
}

const HEAD = 40

export function readOperations(file: string): Operation[] {
  const log = readFileSync(file)
  const out: Operation[] = []
  for (let at = 0; at + HEAD <= log.length; ) {
    const length = log.readUInt32LE(at)
    const op = log.readUInt32LE(at + 4)
    const end = at + HEAD + length
    // A process that is killed may leave the last record short.
    if (end > log.length) break
    const data = log.subarray(at + HEAD, end)
    out.push({
      op,
      before: Number(log.readBigUInt64LE(at + 8)),
      after: Number(log.readBigUInt64LE(at + 16)),
      // Process id and a counter: below 2^53.
      handle: Number(log.readBigUInt64LE(at + 24)),
      offset: Number(log.readBigUInt64LE(at + 32)),
      text: op === OP.write ? '' : data.toString('utf8'),
      data,
    })
    at = end
  }
  return out.sort((a, b) => a.after - b.after)
}

/** Moments at which a file sync ended. */
export function syncEnds(operations: readonly Operation[]): number[] {
  return operations.filter((o) => o.op === OP.sync).map((o) => o.after)
}

interface Change {
  offset: number
  data: Buffer | null
}

class FileState {
  readonly changes: Change[] = []
  /** How many of the changes are safe. */
  safe = 0

  /** The content after the first `changes`, and `part` bytes of the next. */
  bytes(changes: number, part: number): Buffer {
    const list = this.changes.slice(0, changes)
    const next = this.changes[changes]
    if (part > 0 && next !== undefined && next.data !== null)
      list.push({ offset: next.offset, data: next.data.subarray(0, part) })
    let room = 0
    for (const { offset, data } of list) room = Math.max(room, offset + (data?.length ?? 0))
    const content = Buffer.alloc(room)
    let size = 0
    for (const { offset, data } of list) {
      if (data === null) {
        if (offset < size) content.fill(0, offset, size)
        size = offset
      } else {
        data.copy(content, offset)
        size = Math.max(size, offset + data.length)
      }
    }
    return content.subarray(0, size)
  }
}

interface NameChange {
  from: string | null
  to: string | null
  /** Null when `from` and `to` are folders: all that is in them moves. */
  file: FileState | null
  after: number
}

type Event = { at: number; order: number; begin: boolean; operation: Operation }

export class Shadow {
  private readonly events: Event[] = []
  private next = 0
  private readonly names = new Map<string, FileState>()
  private readonly safe_names = new Map<string, FileState>()
  private pending: NameChange[] = []
  private readonly handles = new Map<number, FileState>()
  /** Of a file sync that runs: how many changes it will cover. */
  private readonly covering = new Map<Operation, number>()
  private readonly root: string

  private readonly journal: boolean

  constructor(root: string, operations: readonly Operation[], journal = false) {
    this.root = root
    this.journal = journal
    for (const [order, operation] of operations.entries()) {
      if (operation.op === OP.unsupported) throw new Error(`the program uses ${operation.text}, which this rig cannot follow`)
      this.events.push({ at: operation.after, order, begin: false, operation })
      if (operation.op === OP.sync) this.events.push({ at: operation.before, order, begin: true, operation })
    }
    this.events.sort((a, b) => a.at - b.at || a.order - b.order)
  }

  /** Goes on to the moment `at_ns`; only forwards. */
  advance(at_ns: number): void {
    while (this.next < this.events.length && this.events[this.next].at <= at_ns) this.apply(this.events[this.next++])
  }

  /** Writes the folder of this moment to `to`. With `random`, some of what was not safe as well. */
  write(to: string, random?: Seeded): void {
    const names = new Map(this.safe_names)
    if (random !== undefined) {
      const keep = random.below(this.pending.length + 1)
      for (const change of this.pending.slice(0, keep)) rename(names, change)
    }
    mkdirSync(to, { recursive: true })
    for (const [path, file] of names) {
      let changes = file.safe
      let part = 0
      const more = file.changes.length - file.safe
      if (random !== undefined && more > 0) {
        const kind = random.below(3)
        if (kind === 1) changes += more
        else if (kind === 2) {
          changes += random.below(more)
          part = random.below((file.changes[changes].data?.length ?? 0) + 1)
        }
      }
      this.put(to, path, file.bytes(changes, part))
    }
  }

  /** What the program itself saw: must equal the real folder, or the library missed something. */
  visible(): Map<string, Buffer> {
    return new Map([...this.names].map(([path, file]) => [relative(this.root, path), file.bytes(file.changes.length, 0)]))
  }

  private put(to: string, path: string, bytes: Buffer): void {
    const target = `${to}/${relative(this.root, path)}`
    mkdirSync(dirname(target), { recursive: true })
    const fd = openSync(target, 'w', 0o600)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    closeSync(fd)
  }

  private apply({ begin, operation }: Event): void {
    const { op, text, handle } = operation
    if (op === OP.open) this.open(operation)
    else if (op === OP.write) this.handles.get(handle)?.changes.push({ offset: operation.offset, data: operation.data })
    else if (op === OP.truncate) this.handles.get(handle)?.changes.push({ offset: operation.offset, data: null })
    else if (op === OP.rename) {
      const [from, to] = text.split('\0')
      this.change({ from, to, file: this.names.get(from) ?? null, after: operation.after })
    } else if (op === OP.link) {
      const [from, to] = text.split('\0')
      const file = this.names.get(from)
      if (file !== undefined) this.change({ from: null, to, file, after: operation.after })
    } else if (op === OP.unlink) {
      const file = this.names.get(text)
      if (file !== undefined) this.change({ from: text, to: null, file, after: operation.after })
    } else if (op === OP.sync) {
      const file = this.handles.get(handle)
      if (file === undefined) return
      if (begin) this.covering.set(operation, file.changes.length)
      else this.synced(file, this.covering.get(operation) ?? 0, operation.before)
    } else if (op === OP.dirsync) {
      this.settle((c) => c.after <= operation.before && [c.from, c.to].some((p) => p !== null && dirname(p) === text))
    }
  }

  private open({ handle, text, offset, after }: Operation): void {
    let file = this.names.get(text)
    if (file === undefined) {
      file = new FileState()
      this.change({ from: null, to: text, file, after })
    } else if ((offset & 2) !== 0) file.changes.push({ offset: 0, data: null })
    this.handles.set(handle, file)
  }

  private synced(file: FileState, covered: number, began: number): void {
    file.safe = Math.max(file.safe, covered)
    this.settle((c) => (this.journal || (c.file === file && c.to !== null)) && c.after <= began)
  }

  private change(change: NameChange): void {
    rename(this.names, change)
    this.pending.push(change)
  }

  private settle(which: (change: NameChange) => boolean): void {
    if (this.pending.length === 0) return
    const rest: NameChange[] = []
    for (const change of this.pending) {
      if (which(change)) rename(this.safe_names, change)
      else rest.push(change)
    }
    // What happened in a folder before it was renamed, and is not safe yet, is now about the same files in the new place.
    for (const { from, to, file } of this.pending) {
      if (file !== null || from === null || to === null || rest.some((c) => c.file === null && c.from === from)) continue
      for (const change of rest) {
        change.from = moved(change.from, from, to)
        change.to = moved(change.to, from, to)
      }
    }
    this.pending = rest
  }
}

function rename(names: Map<string, FileState>, { from, to, file }: NameChange): void {
  if (file === null) {
    if (from === null || to === null) return
    for (const [path, inside] of [...names]) {
      const target = moved(path, from, to) as string
      if (target === path) continue
      names.delete(path)
      names.set(target, inside)
    }
    return
  }
  if (from !== null && names.get(from) === file) names.delete(from)
  if (to !== null) names.set(to, file)
}

/** Where `path` is after the folder `from` became `to`. */
function moved(path: string | null, from: string, to: string): string | null {
  return path?.startsWith(`${from}/`) === true ? to + path.slice(from.length) : path
}
