/** Where the time goes: time per function from the CPU profiles that `--profile` makes node write. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const CpuProfile = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
})
type CpuProfile = z.infer<typeof CpuProfile>

/** Loading modules takes the first second; it is not what a benchmark asks about. */
const START_US = 1_000_000

interface Times {
  self: number
  /** With everything that it called. */
  total: number
}

/**
 * The `count` functions with the most self time of all profiles in a folder, idle and start left out, as lines of text:
 * share of itself, share with what it called, name and place.
 */
export function hottest(dir: string, count = 30): string[] {
  const times = new Map<string, Times>()
  let busy = 0
  for (const file of readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'))) {
    busy += add(CpuProfile.parse(JSON.parse(readFileSync(join(dir, file), 'utf8'))), times)
  }
  const share = (us: number): string => `${((100 * us) / Math.max(1, busy)).toFixed(1).padStart(5)} %`
  return [...times]
    .sort((a, b) => b[1].self - a[1].self)
    .slice(0, count)
    .map(([name, { self, total }]) => `${share(self)} ${share(total)}  ${name}`)
}

/** Adds one profile; returns its busy microseconds. */
function add(profile: CpuProfile, times: Map<string, Times>): number {
  const selfOf = new Map<number, number>()
  let at = 0
  profile.samples.forEach((id, i) => {
    const us = profile.timeDeltas[i] ?? 0
    at += us
    if (at > START_US) selfOf.set(id, (selfOf.get(id) ?? 0) + us)
  })
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const open = new Set<string>() // a function that calls itself counts once
  let busy = 0
  const walk = (id: number): number => {
    const node = nodes.get(id)
    if (node === undefined) return 0
    const f = node.callFrame
    const name = `${f.functionName || '(anonymous)'} ${place(f.url, f.lineNumber)}`.trim()
    if (name === '(idle)') return 0
    const self = selfOf.get(id) ?? 0
    const first = !open.has(name)
    open.add(name)
    let total = self
    for (const child of node.children ?? []) total += walk(child)
    if (first) open.delete(name)
    const entry = times.get(name) ?? { self: 0, total: 0 }
    entry.self += self
    if (first) entry.total += total
    times.set(name, entry)
    busy += self
    return total
  }
  const root = profile.nodes[0]
  if (root !== undefined) walk(root.id)
  return busy
}
function place(url: string, line: number): string {
  if (url === '') return ''
  return `${url.replace(/^.*\/(dist|node_modules)\//, '$1/')}:${line + 1}`
}
