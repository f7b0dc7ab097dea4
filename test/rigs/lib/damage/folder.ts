/** The files of a data folder: what each is, what it holds, and the ways in which a disk harms one. */
import { createHash } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import type { Seeded } from '../seeded.js'

export const KINDS = ['log', 'manifest', 'current', 'table', 'lock', 'own'] as const
export type FileKind = (typeof KINDS)[number]

/** LevelDB's diary, for people; nothing is read from it. */
const DIARY = /^LOG(\.old)?$/

/** Only says who holds the data folder: as LOCK. */
const HELD = /^lock(\/|$)/
/** What a start makes of an open that was killed: one of these is put back to `level`, and the rest is rubbish. */
const KEPT = ['level.back/', 'level.before/']
const RUBBISH = /^level\.(before\.new|gone|back|before)\//

/** `path` below the data folder. LevelDB's files are in `level`. */
export function kindOf(path: string): FileKind | undefined {
  const name = basename(path)
  if (DIARY.test(name)) return undefined
  if (!path.startsWith('level/')) return 'own'
  if (/^\d+\.log$/.test(name)) return 'log'
  if (/^MANIFEST-\d+$/.test(name)) return 'manifest'
  if (name === 'CURRENT') return 'current'
  if (/^\d+\.(ldb|sst)$/.test(name)) return 'table'
  if (name === 'LOCK') return 'lock'
  return 'own'
}

/** Paths of the files of one kind, below the folder. */
export function filesOf(dir: string, kind: FileKind): string[] {
  return allFiles(dir).filter((path) => kindOf(path) === kind)
}

function allFiles(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort()
}

/** Name to content, LOCK and the diary aside; where an open was killed, as the next start puts it back. */
export function snapshot(dir: string): Map<string, string> {
  const found = new Map<string, string>()
  const paths = allFiles(dir)
  const kept = KEPT.find((prefix) => paths.some((path) => path.startsWith(prefix)))
  for (const path of paths) {
    const name = kept !== undefined && path.startsWith(kept) ? `level/${path.slice(kept.length)}` : path
    if (kept !== undefined && name === path && path.startsWith('level/')) continue
    const kind = kindOf(name)
    if (kind === undefined || kind === 'lock' || HELD.test(name) || RUBBISH.test(name)) continue
    const hash = createHash('sha1')
    found.set(name, hash.update(readFileSync(join(dir, path))).digest('hex'))
  }
  return found
}

/** What differs between two snapshots, in words. */
export function changes(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const out: string[] = []
  for (const [path, hash] of before) {
    const now = after.get(path)
    if (now === undefined) out.push(`${path} is gone`)
    else if (now !== hash) out.push(`${path} has changed`)
  }
  for (const path of after.keys()) if (!before.has(path)) out.push(`${path} is new`)
  return out
}

export const PERSISTENT = ['flip', 'zero', 'cut', 'delete'] as const
export type Persistent = (typeof PERSISTENT)[number]

/** Changes one file. Returns what was done in words; undefined where nothing can be done (an empty file has no bits). */
export function damageFile(dir: string, path: string, how: Persistent | 'cut open', random: Seeded): string | undefined {
  const file = join(dir, path)
  if (!existsSync(file)) return undefined
  const { size } = statSync(file)
  if (how === 'delete') {
    unlinkSync(file)
    return `deleted ${path} (${size} bytes)`
  }
  if (size === 0) return undefined
  if (how === 'flip') return flip(file, path, size, random)
  if (how === 'zero') return zero(file, path, size, random)
  const to = cutTo(size, random)
  if (how === 'cut open') truncateSync(file, to)
  else {
    // Another file in its place: whoever has it open keeps the old one.
    copyFileSync(file, `${file}.cut`)
    truncateSync(`${file}.cut`, to)
    renameSync(`${file}.cut`, file)
  }
  return `cut ${path} from ${size} to ${to} bytes`
}

/** The size that a cut leaves: a few bytes less, a block less, anything, or nothing. */
export function cutTo(size: number, random: Seeded): number {
  const x = random.unit()
  if (x < 0.4) return Math.max(0, size - random.between(1, 64))
  if (x < 0.6) return Math.max(0, size - random.between(64, 8192))
  return x < 0.95 ? random.below(size) : 0
}

function flip(file: string, path: string, size: number, random: Seeded): string {
  const at = random.chance(0.2) ? Math.max(0, size - random.between(1, 64)) : random.below(size)
  const bit = random.below(8)
  const byte = Buffer.alloc(1)
  const fd = openSync(file, 'r+')
  readSync(fd, byte, 0, 1, at)
  byte[0] ^= 1 << bit
  writeSync(fd, byte, 0, 1, at)
  closeSync(fd)
  return `flipped bit ${bit} of byte ${at} of ${path} (${size} bytes)`
}

function zero(file: string, path: string, size: number, random: Seeded): string | undefined {
  const page = random.below(Math.ceil(size / 4096))
  const length = Math.min(4096, size - page * 4096)
  const whole = readFileSync(file)
  if (whole.subarray(page * 4096, page * 4096 + length).every((byte) => byte === 0)) return undefined
  const fd = openSync(file, 'r+')
  writeSync(fd, Buffer.alloc(length), 0, length, page * 4096)
  closeSync(fd)
  return `zeroed page ${page} of ${path} (${size} bytes)`
}

/** Keeps a copy of `text` beside a folder that is kept. */
export function note(dir: string, name: string, text: string): void {
  writeFileSync(`${dir}.${name}`, text)
}
