/** Where the time goes: self time per function from the CPU profiles that `--profile` makes node write. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const CpuProfile = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
})

/** The `count` functions with the most self time of all profiles in a folder, idle left out, as lines of text. */
export function hottest(dir: string, count = 25): string[] {
  const self = new Map<string, number>()
  let total = 0
  for (const file of readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile = CpuProfile.parse(JSON.parse(readFileSync(join(dir, file), 'utf8')))
    const names = new Map(
      profile.nodes.map(({ id, callFrame: f }) => [
        id,
        `${f.functionName || '(anonymous)'} ${place(f.url, f.lineNumber)}`.trim(),
      ]),
    )
    profile.samples.forEach((id, i) => {
      const name = names.get(id) ?? '?'
      if (name === '(idle)') return
      const us = profile.timeDeltas[i] ?? 0
      total += us
      self.set(name, (self.get(name) ?? 0) + us)
    })
  }
  return [...self]
    .sort((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(
      ([name, us]) =>
        `${((100 * us) / Math.max(1, total)).toFixed(1).padStart(5)} %  ${(us / 1e3).toFixed(0).padStart(6)} ms  ${name}`,
    )
}
function place(url: string, line: number): string {
  if (url === '') return ''
  const short = url.replace(/^.*\/(dist|node_modules)\//, '$1/')
  return `${short}:${line + 1}`
}
