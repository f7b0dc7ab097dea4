/**
 * One benchmark: the peers, the rounds, the file of results.
 *
 * Always true: in a round every peer of a workload runs it once, in random order and one after the other, so that all see
 * the same neighbours; every process that was started here is ended by stopPeers.
 */
import { appendFileSync, mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BUILD, findProgram, type Tools } from './build.js'
import { describeMachine, versionOf } from './machine.js'
import { measure, type Run } from './measure.js'
import { type Options, Usage } from './options.js'
import { missing, PEER_NAMES, Peer, type PeerName, pin } from './peers.js'
import { measuredCount, type Workload } from './workloads.js'

export const say = (text: string): void => void process.stderr.write(`${text}\n`)

export class Bench {
  readonly #options: Options
  readonly #tools: Tools
  readonly #signal: AbortSignal
  readonly #file: string
  readonly #peers = new Map<PeerName, Peer>()
  #fresh: Peer | undefined
  readonly #counts = new Map<string, number>()
  readonly runs: Run[] = []

  constructor(options: Options, tools: Tools, signal: AbortSignal) {
    this.#options = options
    this.#tools = tools
    this.#signal = signal
    const folder = join(BUILD, 'results')
    mkdirSync(folder, { recursive: true })
    this.#file = join(folder, `${new Date().toISOString().replaceAll(':', '-').slice(0, 19)}.jsonl`)
  }

  record(line: unknown): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`)
  }

  /** The lines above the table. */
  async header(): Promise<string[]> {
    const { dir, peers } = this.#options
    const m = describeMachine(dir)
    const labels = { work: 'fsync', peer: 'disk', round: 0 }
    const probe = await measure([this.#tools.disk, 'probe', dir, '2000'], labels, 0, 120_000, 0, this.#signal)
    const ms = (us: number | undefined): string => (us === undefined ? '?' : (us / 1e3).toFixed(2))
    const fsync = probe.result?.ack_us
    this.record({ machine: m, fsync, options: { ...this.#options, works: this.#options.works.map((w) => w.name) } })
    const pinned = pin(0).length > 0 ? 'server on cpu 0, load on cpu 1' : 'not pinned: taskset or a second core is missing'
    return [
      `${m.cpu}, ${m.cores} cores, ${m.memory_gib} GiB, Linux ${m.kernel}, Node ${m.node}; ${pinned}`,
      `${m.file_system}; 4 KiB append + fdatasync: p50 ${ms(fsync?.p50)} ms, p99 ${ms(fsync?.p99)} ms`,
      peers.includes('mosquitto') ? versionOf(findProgram('mosquitto') ?? 'mosquitto', ['-h']) : 'mosquitto: not among the peers',
      `64-byte payloads, loopback, medians of ${this.#options.rounds} rounds after a warm-up`,
    ]
  }

  async startPeers(): Promise<void> {
    for (const name of PEER_NAMES.filter((peer) => this.#options.peers.includes(peer))) {
      const wanted = this.#options.works.some((w) => this.#takesPart(w, name))
      const why = missing(name, this.#options.peer)
      if (!wanted) continue
      if (why !== undefined) {
        if (name.startsWith('ours')) throw new Usage(`${name}: ${why}`)
        say(`left out: ${name}: ${why}`)
        continue
      }
      const peer = new Peer(name, this.#options.dir, this.#options.peer)
      this.#peers.set(name, peer)
      await peer.start()
      say(`up: ${name} (pid ${peer.pid})`)
    }
  }

  /** Ends every peer; ours must have ended by itself with exit code 0. */
  async stopPeers(): Promise<void> {
    await this.#fresh?.stop()
    for (const [name, peer] of this.#peers) {
      if (!(await peer.stop()) && name.startsWith('ours')) this.#problem('shutdown', name, 'did not end with exit code 0')
    }
    this.#peers.clear()
  }

  #problem(work: string, peer: string, problem: string): void {
    const run: Run = { work, peer, round: -1, wall_s: 0, foreign_cpus: 0, stolen_cpus: 0, problem }
    this.runs.push(run)
    this.record(run)
    say(`FAILED: ${peer}: ${problem}`)
  }

  #takesPart(w: Workload, peer: string): boolean {
    return this.#options.peers.includes(peer) && (w.only === undefined || w.only.includes(peer))
  }

  async all(): Promise<void> {
    for (let round = 0; round <= this.#options.rounds; round++) {
      for (const w of this.#options.works) {
        if (w.kind === 'idle' && round === 0) continue
        const peers = [...this.#peers.keys(), 'disk' as const].filter((peer) => this.#takesPart(w, peer))
        for (const peer of shuffled(peers)) {
          const run = peer === 'disk' ? await this.#disk(w, round) : await this.#peer(w, peer, round)
          this.runs.push(run)
          this.record(run)
          this.#progress(w, run)
        }
      }
    }
  }

  async #disk(w: Workload, round: number): Promise<Run> {
    const rate = w.rate ?? 1
    const messages = 20 * (round === 0 ? w.n : measuredCount(w, 0, this.#options.scale))
    const command = [this.#tools.disk, 'open', this.#options.dir, String(rate), String(messages), '128']
    return await measure(command, { work: w.name, peer: 'disk', round }, 0, 600_000, 0, this.#signal)
  }

  /** The running server for a workload; `idle` gets one of its own: memory per connection only shows where nothing else was served. */
  async #ready(w: Workload, name: PeerName): Promise<Peer> {
    const peer = this.#peers.get(name)
    if (peer === undefined) throw new Error(`no peer ${name}`)
    if (w.kind === 'idle') {
      this.#fresh = new Peer(name, join(this.#options.dir, 'fresh'), this.#options.peer)
      await this.#fresh.start()
      return this.#fresh
    }
    if (!peer.running) {
      this.#problem(w.name, name, 'died')
      await peer.start()
    }
    return peer
  }

  async #peer(w: Workload, name: PeerName, round: number): Promise<Run> {
    const labels = { work: w.name, peer: name, round }
    const peer = await this.#ready(w, name)
    const key = `${w.name} ${name}`
    const n = round === 0 ? w.n : (this.#counts.get(key) ?? w.n)
    const run = await measure(this.#command(w, peer, n, round), labels, peer.pid, 900_000, 1, this.#signal)
    if (round === 0 && run.result !== undefined) {
      const secs = (['run', 'in', 'out'] as const).reduce((sum, phase) => sum + (run.result?.[phase]?.secs ?? 0), 0)
      this.#counts.set(key, measuredCount(w, secs, this.#options.scale))
    }
    if (peer === this.#fresh) {
      if (!(await peer.stop()) && name.startsWith('ours')) this.#problem(w.name, name, 'did not end with exit code 0')
      this.#fresh = undefined
    }
    return run
  }

  #command(w: Workload, peer: Peer, n: number, round: number): readonly string[] {
    const limits = ['--pid', String(peer.pid), '--max-s', '120', '-i', `${w.name}-${round}-`]
    if (w.kind === 'queue') {
      const [protocol, port] = peer.name === 'beanstalkd' ? ['beanstalk', peer.port] : ['http', peer.httpPort]
      return [this.#tools.qload, protocol, ...w.args.split(' '), '-n', String(n), '-p', String(port), ...limits]
    }
    const echo = peer.name === 'echo'
    const args = echo ? ['echo', '-c', '10', '-q', '1', '-w', '30000', '-r', String(w.rate ?? 1)] : w.args.split(' ')
    const count = echo ? n * 2 : n // the sessions are 20, the echo connections 10
    return [this.#tools.mqload, ...args, ...(w.kind === 'idle' ? [] : ['-n', String(count)]), '-p', String(peer.port), ...limits]
  }

  #progress(w: Workload, run: Run): void {
    const phases = w.rows.map(({ phase }) => run.result?.[phase])
    const figures = phases.map((p) => (p ? `${Math.round(p.per_s)}/s ${p.cpu_us?.toFixed(2) ?? '?'} µs` : '')).join(', ')
    const idle = run.result?.kib_per_conn === undefined ? '' : ` ${run.result.kib_per_conn.toFixed(2)} KiB`
    const what = run.round === 0 ? 'warm-up' : `round ${run.round}`
    const noise = run.foreign_cpus > 0.2 ? ` (${run.foreign_cpus} CPUs used by others)` : ''
    say(`${what} ${w.name} ${run.peer}: ${figures}${idle}${noise}${run.problem === undefined ? '' : ` FAILED: ${run.problem}`}`)
  }

  get file(): string {
    return relative(process.cwd(), this.#file)
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}
