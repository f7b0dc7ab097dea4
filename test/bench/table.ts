/** The one table: medians over the rounds, ratios to mosquitto (or to echo and disk) beside the bar. */
import type { Latency, LoadResult, Run } from './measure.js'
import { DISK_BAR, ECHO_BAR, IDLE_BAR_KIB, type Row, WORKLOADS, type Workload } from './workloads.js'

export interface Verdict {
  readonly text: string
  readonly met: boolean
}

export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = sorted[half]
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? 0) + (upper ?? 0)) / 2
}
function pick(runs: readonly Run[], of: (result: LoadResult) => number | undefined): number[] {
  return runs.flatMap((run) => (run.result === undefined ? [] : (of(run.result) ?? [])))
}
function figure(x: number | undefined): string {
  if (x === undefined) return ''
  const digits = Math.abs(x) >= 100 ? 0 : Math.abs(x) >= 10 ? 1 : 2
  return x.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
function spread(values: readonly number[]): string {
  const middle = figure(median(values))
  return values.length > 1 ? `${middle} (${figure(Math.min(...values))}–${figure(Math.max(...values))})` : middle
}
/** The echo server has no queue to come back for: its one phase stands beside whatever the row shows. */
function phaseOf(row: Row, result: LoadResult) {
  return result[row.phase] ?? (result.mode === 'echo' ? result.run : undefined)
}
/** The latency that a row is about: of the acknowledgement where writes are measured, else end to end if there is one. */
function latencyOf(w: Workload, row: Row, result: LoadResult): Latency | undefined {
  const phase = phaseOf(row, result)
  if (w.kind === 'queue') return phase?.ack_us
  if (w.kind === 'closed' && w.name !== 'lat1') return undefined
  return result.ack_us ?? phase?.ack_us ?? phase?.e2e_us
}
function counted(runs: readonly Run[], work: string, peer: string): Run[] {
  return runs.filter((run) => run.work === work && run.peer === peer && run.round > 0)
}

function costOf(runs: readonly Run[], w: Workload, row: Row, peer: string): number | undefined {
  const values = pick(counted(runs, w.name, peer), (r) => (w.kind === 'idle' ? r.kib_per_conn : phaseOf(row, r)?.cpu_us))
  return median(values)
}
function tailOf(runs: readonly Run[], w: Workload, row: Row, peer: string, key: 'p99_6' | 'p99_996'): number | undefined {
  return median(pick(counted(runs, w.name, peer), (r) => latencyOf(w, row, r)?.[key]))
}

/** How a row of ours stands against its bar; undefined where there is none, or nothing to compare with. */
export function verdict(runs: readonly Run[], w: Workload, row: Row, peer: string): Verdict | undefined {
  if (w.kind === 'write') {
    const [reference, bar] = peer === 'ours' ? ['disk', DISK_BAR] : peer === 'ours-os' ? ['echo', ECHO_BAR] : ['', 0]
    const ratios = (['p99_6', 'p99_996'] as const).map((key) => {
      const ours = tailOf(runs, w, row, peer, key)
      const theirs = tailOf(runs, w, row, reference, key)
      return ours === undefined || theirs === undefined || theirs === 0 ? undefined : ours / theirs
    })
    const [a, b] = ratios
    if (a === undefined || b === undefined) return undefined
    return { text: `p99.6 ${figure(a)}, p99.996 ${figure(b)} × ${reference}; bar ${bar}`, met: a <= bar && b <= bar }
  }
  const ours = costOf(runs, w, row, peer)
  if (ours === undefined || (peer !== 'ours' && peer !== 'ours-os')) return undefined
  if (w.kind === 'idle') return { text: `${figure(ours)} KiB; bar ${IDLE_BAR_KIB}`, met: ours <= IDLE_BAR_KIB }
  if (w.kind === 'queue') return rateVerdict(runs, w, row, peer)
  const theirs = costOf(runs, w, row, 'mosquitto')
  if (theirs === undefined || theirs === 0) return undefined
  const bar = row.bar
  const ratio = ours / theirs
  if (bar === undefined) return { text: figure(ratio), met: true }
  return { text: `${ratio.toFixed(3)}; bar ${bar}`, met: ratio <= bar }
}

const LIKE_RATIO = 0.9

/** A queue's bar is a rate of its own, or the rate of another row. */
function rateVerdict(runs: readonly Run[], w: Workload, row: Row, peer: string): Verdict | undefined {
  const rate = rateOf(runs, w, row, peer)
  if (rate === undefined) return undefined
  if (row.bar !== undefined) return { text: `${figure(rate)}/s; bar ${figure(row.bar)}/s`, met: rate >= row.bar }
  const other = WORKLOADS.find((one) => one.rows.some((r) => r.label === row.like))
  const like = other?.rows.find((r) => r.label === row.like)
  const theirs = other === undefined || like === undefined ? undefined : rateOf(runs, other, like, peer)
  if (theirs === undefined) return undefined
  return { text: `${(rate / theirs).toFixed(3)} × ${row.like}; bar ${LIKE_RATIO}`, met: rate >= theirs * LIKE_RATIO }
}
function rateOf(runs: readonly Run[], w: Workload, row: Row, peer: string): number | undefined {
  return median(pick(counted(runs, w.name, peer), (r) => phaseOf(row, r)?.per_s))
}

const HEAD = ['workload', 'peer', 'messages/s', 'CPU µs/message', 'p50 µs', 'p99', 'p99.6', 'p99.996', '< 1 ms %', '< 10 ms %']
const TAIL = ['memory MiB', 'CPU ÷ mosquitto', 'runs', 'foreign CPUs']

/** A row whose runs had this many CPUs used by others is marked: its throughput and tails are understated. */
const NOISY_CPUS = 0.2

export interface Table {
  readonly markdown: string
  /** Rows of ours that miss their bar. */
  readonly missed: readonly string[]
}

export function makeTable(runs: readonly Run[], works: readonly Workload[]): Table {
  const lines: string[][] = [[...HEAD, ...TAIL]]
  const missed: string[] = []
  for (const w of works) {
    const peers = [...new Set(runs.filter((run) => run.work === w.name && run.round > 0).map((run) => run.peer))]
    peers.sort((a, b) => order(a) - order(b))
    for (const row of w.rows) {
      for (const peer of peers) {
        const mine = counted(runs, w.name, peer)
        const lat = (key: keyof Latency) => figure(median(pick(mine, (r) => latencyOf(w, row, r)?.[key])))
        const cost = pick(mine, (r) => (w.kind === 'idle' ? r.kib_per_conn : phaseOf(row, r)?.cpu_us))
        const noise = median(mine.map((run) => run.foreign_cpus)) ?? 0
        const v = verdict(runs, w, row, peer)
        const bad = mine.filter((run) => run.problem !== undefined)
        if (v !== undefined && !v.met) missed.push(`${row.label} (${peer}): ${v.text}`)
        lines.push([
          row.label,
          peer,
          figure(median(pick(mine, (r) => phaseOf(row, r)?.per_s))),
          w.kind === 'idle' && cost.length > 0 ? `${spread(cost)} KiB each` : spread(cost),
          ...(['p50', 'p99', 'p99_6', 'p99_996'] as const).map(lat),
          ...(['under_1ms', 'under_10ms'] as const).map((key) => (w.kind === 'write' ? lat(key) : '')),
          figure(median(pick(mine, (r) => phaseOf(row, r)?.rss1_mib))),
          v === undefined ? '' : `${v.text}${/bar/.test(v.text) ? (v.met ? ' ✓' : ' ✗') : ''}`,
          bad.length > 0 ? `${mine.length}, ${bad.length} FAILED` : String(mine.length),
          `${figure(noise)}${noise > NOISY_CPUS ? ' ~' : ''}`,
        ])
      }
    }
  }
  return { markdown: align(lines), missed }
}
const ORDER = ['ours', 'ours-os', 'beanstalkd', 'mosquitto', 'aedes', 'aedes-level', 'echo', 'disk']
function order(peer: string): number {
  const at = ORDER.indexOf(peer)
  return at < 0 ? ORDER.length : at
}
function align(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)))
  const text = (line: readonly string[]) =>
    `| ${line.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (i < 2 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  const [head = [], ...rest] = lines
  return [text(head), rule, ...rest.map(text)].join('\n')
}
