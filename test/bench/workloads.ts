/**
 * What is measured: one entry per workload, each a command line of the load generator.
 *
 * Always true: the same bytes go to every peer of a workload; only the number of messages of a closed loop follows the
 * peer's speed, so that a fast peer is not measured over a few milliseconds.
 */

/** Which part of a run a table row shows; `session` has two. */
export type Phase = 'run' | 'in' | 'out' | 'connect'

export interface Row {
  readonly phase: Phase
  readonly label: string
  /** Ours ÷ mosquitto in CPU per message, at most; of a `queue`, messages/s at least. */
  readonly bar?: number
  /** Its rate must be within 10 % of that of the row with this label, in the same run. */
  readonly like?: string
}

export interface Workload {
  readonly name: string
  readonly about: string
  /** mqload arguments without the number of messages. */
  readonly args: string
  /** `-n` of the warm-up and base of the measured runs; 0 where the mode takes none. */
  readonly n: number
  /**
   * closed: n is stretched to last `seconds`, at most `stretch` × n. open: n × stretch, the rate is fixed.
   * write: open loop of acknowledged durable writes, with its references. idle: a fresh server, no messages.
   * queue: a pull queue over HTTP (ours) or its own protocol (beanstalkd), by `qload`.
   */
  readonly kind: 'closed' | 'open' | 'write' | 'idle' | 'queue'
  readonly seconds: number
  readonly stretch: number
  /** Messages/s of an open loop. */
  readonly rate?: number
  readonly rows: readonly Row[]
  /** Peers that it makes sense for; all when missing. */
  readonly only?: readonly string[]
}

const DURABLE = ['ours', 'ours-os', 'mosquitto', 'aedes', 'aedes-level']
const LIVE = ['ours', 'mosquitto', 'aedes', 'aedes-level']
/** Plain Aedes answers before it stores, so its "acknowledged write" is none. */
const QUEUE = ['ours', 'ours-os', 'beanstalkd']
const WRITE = ['ours', 'ours-os', 'mosquitto', 'echo', 'disk']

function run(label: string, bar?: number): readonly Row[] {
  return [bar === undefined ? { phase: 'run', label } : { phase: 'run', label, bar }]
}
function closed(name: string, about: string, args: string, n: number, bar?: number, only = LIVE): Workload {
  return { name, about, args, n, kind: 'closed', seconds: 1, stretch: 40, rows: run(name, bar), only }
}
function open(rate: number): Workload {
  return {
    name: `open${rate}`,
    about: `QoS 1, 10 → 10 live subscribers at ${rate.toLocaleString('en')} messages/s`,
    args: `fan -c 10 -s 10 -N 10 -q 1 -r ${rate} -w 30000`,
    n: rate / 20,
    kind: 'open',
    seconds: 5,
    stretch: 10,
    rate,
    rows: run(`open${rate}`),
    only: LIVE,
  }
}
function write(rate: number, seconds: number): Workload {
  return {
    name: `write${rate}`,
    about: `QoS 1 into 20 persistent sessions that are away, at ${rate.toLocaleString('en')} messages/s: the acknowledged write`,
    args: `session -k 20 -c 10 -r ${rate} -w 30000 --stall 4`,
    n: rate / 20,
    kind: 'write',
    seconds,
    stretch: seconds,
    rate,
    rows: [{ phase: 'in', label: `write${rate}` }],
    only: WRITE,
  }
}

function queue(name: string, about: string, args: string, n: number, rows: readonly Row[]): Workload {
  return {
    name,
    about,
    args,
    n,
    kind: 'queue',
    seconds: 2,
    stretch: 20,
    rows,
    only: args.includes('-b') ? QUEUE.slice(0, 2) : QUEUE,
  }
}

export const WORKLOADS: readonly Workload[] = [
  closed('fanin0', 'QoS 0, 10 publishers → 1 subscriber', 'fan -c 10 -s 1 -q 0 -w 200', 10_000, 0.08),
  closed('fanout0', 'QoS 0, 1 → 500', 'fan -c 1 -s 500 -q 0 -w 10', 200, 0.2),
  closed('fanout1', 'QoS 1, 1 → 500', 'fan -c 1 -s 500 -q 1 -w 10', 80),
  closed('pub1', 'QoS 1, 10 publishers, nobody subscribed, 100 in flight each', 'pub -c 10 -q 1 -w 100', 10_000, 0.1),
  closed('pub2', 'QoS 2, the same, 20 in flight', 'pub -c 10 -q 2 -w 20', 3_000),
  closed('e2e1', 'QoS 1, 10 → 10 clean sessions, 50 in flight', 'fan -c 10 -s 10 -N 10 -q 1 -w 50', 5_000, 0.12),
  closed(
    'dure2e1',
    'the same with persistent sessions, online: store, acknowledge, deliver, release',
    'fan -c 10 -s 10 -N 10 -q 1 -w 50 --durable',
    5_000,
    0.35,
    DURABLE,
  ),
  {
    name: 'session',
    about: '20 persistent sessions that are away: publish for them (in), then they come back for it (out)',
    args: 'session -k 20 -c 10 -q 1 -w 100 --stall 4',
    n: 1_500,
    kind: 'closed',
    seconds: 12,
    stretch: 10,
    rows: [
      { phase: 'in', label: 'session in', bar: 0.3 },
      { phase: 'out', label: 'session out', bar: 0.25 },
    ],
    only: DURABLE,
  },
  closed('wake1', 'QoS 1, 100 publishers, 1 in flight: one packet per wake-up', 'pub -c 100 -q 1 -w 1', 300, 1.2),
  closed('wake4', 'the same, 4 in flight', 'pub -c 100 -q 1 -w 4', 600, 0.45),
  closed('wakee2e', 'QoS 1, 100 → 100, 4 in flight', 'fan -c 100 -s 100 -N 100 -q 1 -w 4', 300),
  closed('lat1', 'QoS 1, one publisher, 1 in flight: the lone message', 'pub -c 1 -q 1 -w 1', 4_000),
  open(1_000),
  open(2_000),
  open(5_000),
  queue(
    'queue1',
    'a pull queue over HTTP, 32 connections, one message a request: send (in), receive and acknowledge (out)',
    '-c 32',
    2_000,
    [
      { phase: 'in', label: 'queue1 in', bar: 2_600 },
      { phase: 'out', label: 'queue1 out', bar: 2_600 },
    ],
  ),
  queue('queue16', 'the same in batches of 16', '-c 32 -b 16', 16_000, [
    { phase: 'in', label: 'queue16 in', bar: 10_000 },
    { phase: 'out', label: 'queue16 out', bar: 10_000 },
  ]),
  {
    ...queue('queue16deep', 'the same with a million messages waiting', '-c 32 -b 16 -q deep --fill 1000000', 16_000, [
      { phase: 'in', label: 'queue16deep in', like: 'queue16 in' },
      { phase: 'out', label: 'queue16deep out', like: 'queue16 out' },
    ]),
    only: ['ours'],
  },
  write(1_000, 26),
  write(5_000, 12),
  {
    name: 'idle',
    about: '5,000 idle connections with a subscription each',
    args: 'idle -c 5000 -T 2',
    n: 0,
    kind: 'idle',
    seconds: 2,
    stretch: 1,
    rows: [{ phase: 'connect', label: 'idle' }],
    only: LIVE,
  },
]

/** KiB per idle connection, at most. */
export const IDLE_BAR_KIB = 8
/** Tails of `write*`: ours with `os` ÷ bare Node echo, ours with `fsync` ÷ bare disk, at most. */
export const ECHO_BAR = 1.2
export const DISK_BAR = 1.5

/** `-n` of a measured run, from the seconds that the warm-up with `w.n` took. */
export function measuredCount(w: Workload, warmSecs: number, scale: number): number {
  if (w.kind === 'idle') return 0
  if (w.kind !== 'closed') return Math.max(1, Math.round(w.n * w.stretch * scale))
  const fits = (w.seconds * scale) / Math.max(warmSecs, 1e-4)
  return Math.max(10, Math.round(w.n * Math.min(w.stretch * Math.max(1, scale), Math.max(0.1, fits))))
}
