/** The command line of the benchmark. */
import { mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BUILD } from './build.js'
import { PEER_NAMES, type PeerOptions } from './peers.js'
import { WORKLOADS, type Workload } from './workloads.js'

const HELP = `npm run bench [-- OPTIONS]

  --work a,b      workloads (default: all): ${WORKLOADS.map((w) => w.name).join(' ')}
  --peers a,b     ${PEER_NAMES.join(' ')} disk (default: all; the write workloads add echo and disk)
  --rounds N      measured rounds after the warm-up (3)
  --scale X       longer or shorter runs (1)
  --dir DIR       state of the servers, on the disk to be measured (test/bench/build/state)
  --set KEY=VALUE a setting for ours, may be repeated
  --ours LINE     another command for ours, with {port}, {dir} and {durability}
  --profile       write CPU profiles of ours and print where its time goes (use it with one workload)
  --strict        exit 1 where a bar is missed
  --list          say what each workload is
`
/** A mistake of the caller, or something that is not there. */
export class Usage extends Error {}

export interface Options {
  readonly works: readonly Workload[]
  readonly peers: readonly string[]
  readonly rounds: number
  readonly scale: number
  /** A fresh folder for the state of the servers, removed at the end. */
  readonly dir: string
  readonly strict: boolean
  readonly peer: PeerOptions
}

function choose<T extends string>(text: string | undefined, all: readonly T[], what: string): readonly T[] {
  if (text === undefined) return all
  return text.split(',').map((name) => {
    const found = all.find((one) => one === name)
    if (found === undefined) throw new Usage(`unknown ${what}: ${name} (known: ${all.join(', ')})`)
    return found
  })
}
function positive(text: string | undefined, fallback: number, what: string): number {
  const value = text === undefined ? fallback : Number(text)
  if (!(value > 0 && value <= 1000)) throw new Usage(`--${what} ${text}: a number above 0, at most 1000, is expected`)
  return value
}

function parse() {
  try {
    return parseArgs({
      options: {
        work: { type: 'string' },
        peers: { type: 'string' },
        rounds: { type: 'string' },
        scale: { type: 'string' },
        dir: { type: 'string' },
        set: { type: 'string', multiple: true },
        ours: { type: 'string' },
        profile: { type: 'boolean' },
        strict: { type: 'boolean' },
        list: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error))
  }
}

/** Undefined when help was asked for and given. @throws Usage */
export function readOptions(): Options | undefined {
  const { values: v } = parse()
  if (v.help) process.stdout.write(HELP)
  if (v.list) for (const w of WORKLOADS) console.log(`${w.name.padEnd(10)} ${w.about}\n           mqload ${w.args} -n ${w.n}…`)
  if (v.help || v.list) return undefined
  const names = choose(
    v.work,
    WORKLOADS.map((w) => w.name),
    'workload',
  )
  const works = WORKLOADS.filter((w) => names.includes(w.name))
  const peers = new Set<string>(choose(v.peers, [...PEER_NAMES, 'disk'], 'peer'))
  // a tail says nothing without what the same minutes did to a bare server and a bare disk
  if (works.some((w) => w.kind === 'write')) peers.add('echo').add('disk')
  const rounds = Math.round(positive(v.rounds, 3, 'rounds'))
  const scale = positive(v.scale, 1, 'scale')
  const dir = v.dir ?? join(BUILD, 'state')
  mkdirSync(dir, { recursive: true })
  mkdirSync(BUILD, { recursive: true })
  const state = mkdtempSync(join(dir, 'run-'))
  return {
    works,
    peers: [...peers],
    rounds,
    scale,
    dir: state,
    strict: v.strict ?? false,
    peer: {
      set: v.set ?? [],
      http: works.some((w) => w.kind === 'queue'),
      ...(v.ours === undefined ? {} : { command: v.ours }),
      ...(v.profile ? { profileDir: mkdtempSync(join(BUILD, 'profile-')) } : {}),
    },
  }
}
