/** Every way in which one file is harmed once: what, how and when. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorName, Faults } from '../faults.js'
import type { Seeded } from '../seeded.js'
import { cutTo, damageFile, type FileKind, filesOf, KINDS, type Persistent } from './folder.js'

const WHENS = ['start', 'reopen', 'running'] as const
const HOWS = ['open once', 'read once', 'flip', 'zero', 'cut', 'delete', 'cut open'] as const

export interface Damage {
  when: (typeof WHENS)[number]
  how: (typeof HOWS)[number]
  kind: FileKind
}

export function allDamages(): Damage[] {
  return KINDS.flatMap((kind) => HOWS.flatMap((how) => WHENS.map((when) => ({ when, how, kind }))))
}

export interface Harm {
  /** What was done, in words. */
  done: string
  /** The file that the rig itself changes while the broker looks at it, or ''. */
  victim: string
}

/** Harms a file of `dir`, now or by a rule for the broker's next calls. Undefined where there is nothing to harm. */
export function harm(dir: string, { how, kind, when }: Damage, faults: Faults, random: Seeded): Harm | undefined {
  const files = filesOf(dir, kind)
  if (files.length === 0) return undefined
  // The newest as often as any other: it is the one in use.
  const path = random.chance(0.4) ? (files.at(-1) as string) : random.pick(files)
  const skip = random.below(3)
  if (how === 'open once' || how === 'read once') {
    const error: ErrorName = how === 'read once' ? 'EIO' : random.pick(['EMFILE', 'EACCES', 'EIO'] as const)
    // A running broker opens files that are not there yet.
    const match = when === 'start' && random.chance(0.5) ? path : patternOf(kind, path)
    faults.arm({ calls: how === 'open once' ? ['open'] : ['read', 'mmap'], match, skip, error })
    return { done: `${how}: ${error} for ${match}, after ${skip}`, victim: '' }
  }
  if (how === 'cut open' && when !== 'running') {
    const { size } = statSync(join(dir, path))
    const cut = cutTo(size, random)
    faults.arm({ calls: ['open'], match: path, skip, cut })
    return { done: `an open cuts ${path} from ${size} to ${cut} bytes, after ${skip}`, victim: path }
  }
  const done = damageFile(dir, path, how as Persistent | 'cut open', random)
  return done === undefined ? undefined : { done, victim: '' }
}

function patternOf(kind: FileKind, path: string): string {
  if (kind === 'log') return 'level/*.log'
  if (kind === 'table') return 'level/*.ldb'
  if (kind === 'manifest') return 'level/MANIFEST-*'
  return path
}
