/** One run of the load generator against one peer: its JSON line, checked, with what else used the machine meanwhile. */
import { spawn } from 'node:child_process'
import { z } from 'zod'
import { cpuOf, cpuTotals } from './machine.js'
import { pin } from './peers.js'

const Latency = z.object({
  n: z.number(),
  p50: z.number(),
  p99: z.number(),
  p99_6: z.number(),
  p99_996: z.number(),
  max: z.number(),
  under_1ms: z.number(),
  under_10ms: z.number(),
})
const PhaseResult = z.object({
  messages: z.number(),
  secs: z.number(),
  per_s: z.number(),
  cpu_us: z.number().optional(),
  rss1_mib: z.number().optional(),
  ack_us: Latency.optional(),
  e2e_us: Latency.optional(),
  slip_us: Latency.optional(),
})
/** What mqload prints (and, with `ack_us` at the top, what the disk probe prints). */
export const LoadResult = z.object({
  mode: z.string(),
  run: PhaseResult.optional(),
  in: PhaseResult.optional(),
  out: PhaseResult.optional(),
  connect: PhaseResult.optional(),
  ack_us: Latency.optional(),
  fdatasyncs: z.number().optional(),
  kib_per_conn: z.number().optional(),
  lost: z.number().default(0),
  dup: z.number().default(0),
  ooo: z.number().default(0),
  failed: z.number().default(0),
  closed: z.number().default(0),
  refused: z.number().default(0),
  bad: z.number().default(0),
  timeout: z.boolean().default(false),
  load_cpu_s: z.number().default(0),
})
export type LoadResult = z.infer<typeof LoadResult>
export type Latency = z.infer<typeof Latency>

/** One line of the results file. */
export interface Run {
  readonly work: string
  readonly peer: string
  /** 0 is the warm-up, which no table counts. */
  readonly round: number
  readonly wall_s: number
  /** CPUs used by anything else during the run, and by the hypervisor's other guests. */
  readonly foreign_cpus: number
  readonly stolen_cpus: number
  readonly result?: LoadResult
  /** Why the run does not count: it could not run, or something owed did not arrive. */
  readonly problem?: string
}

function execute(
  command: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const [program = '', ...args] = command
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, signal })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** What is wrong with a result, in words; undefined when all that was owed came. Losses at QoS 0 are owed too: the load is bounded. */
export function problemOf(result: LoadResult): string | undefined {
  const words: string[] = []
  for (const key of ['lost', 'dup', 'ooo', 'failed', 'closed', 'refused', 'bad'] as const) {
    if (result[key] > 0) words.push(`${key} ${result[key]}`)
  }
  if (result.timeout) words.push('timed out')
  return words.length > 0 ? words.join(', ') : undefined
}

/** Runs a command that prints one JSON line. `pid` is the server whose CPU is not foreign. @throws AbortError */
export async function measure(
  command: readonly string[],
  labels: { readonly work: string; readonly peer: string; readonly round: number },
  pid: number,
  timeoutMs: number,
  cpu: 0 | 1,
  signal: AbortSignal,
): Promise<Run> {
  const before = cpuTotals()
  const serverBefore = cpuOf(pid)
  const started = performance.now()
  const { code, stdout, stderr } = await execute([...pin(cpu), ...command], timeoutMs, signal)
  const wall_s = (performance.now() - started) / 1e3
  const after = cpuTotals()
  let result: LoadResult | undefined
  let problem: string | undefined
  try {
    result = LoadResult.parse(JSON.parse(stdout))
    problem = problemOf(result)
  } catch {
    problem = `no result (exit ${code}): ${(stderr || stdout).slice(-300).trim()}`
  }
  if (problem === undefined && code !== 0) problem = `exit ${code}`
  const mine = cpuOf(pid) - serverBefore + (result?.load_cpu_s ?? 0)
  const foreign = (after.busy_s - before.busy_s - mine) / wall_s
  return {
    ...labels,
    wall_s: Number(wall_s.toFixed(3)),
    foreign_cpus: Number(Math.max(0, foreign).toFixed(3)),
    stolen_cpus: Number(((after.stolen_s - before.stolen_s) / wall_s).toFixed(3)),
    ...(result === undefined ? {} : { result }),
    ...(problem === undefined ? {} : { problem }),
  }
}
