/**
 * The servers that are measured, each started by us on a free loopback port with its state in a fresh folder.
 *
 * Always true: only processes started here are ended, by their process id, and a peer that dies by itself is a failure.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram, HERE, ROOT } from './build.js'

export const PEER_NAMES = ['ours', 'ours-os', 'mosquitto', 'aedes', 'aedes-level', 'echo', 'beanstalkd'] as const
export type PeerName = (typeof PEER_NAMES)[number]

export interface PeerOptions {
  /** Extra `--set KEY=VALUE` for ours. */
  readonly set: readonly string[]
  /** A shell line with {port}, {dir} and {durability} instead of dist/main.js. */
  readonly command?: string
  /** Ours opens an HTTP listener too: some workload needs it. */
  readonly http?: boolean
  /** Write CPU profiles of ours into this folder when it stops. */
  readonly profileDir?: string
}

/** Why a peer cannot run here, or undefined. */
export function missing(name: PeerName, options: PeerOptions): string | undefined {
  if (name === 'mosquitto' && findProgram('mosquitto') === undefined) return 'not installed (Debian: apt-get install mosquitto)'
  if (name === 'beanstalkd' && findProgram('beanstalkd') === undefined)
    return 'not installed (Debian: apt-get install beanstalkd)'
  if (name.startsWith('ours') && options.command === undefined && !existsSync(join(ROOT, 'dist', 'main.js'))) {
    return 'dist/main.js is missing; run npm run build'
  }
  return undefined
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port'))))
    })
  })
}
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function fillIn(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, key: string) => values[key] ?? whole)
}

export class Peer {
  readonly name: PeerName
  port = 0
  /** Of ours, when a workload needs it. */
  httpPort = 0
  #child: ChildProcess | undefined
  readonly #dir: string
  readonly #options: PeerOptions

  constructor(name: PeerName, stateDir: string, options: PeerOptions) {
    this.name = name
    this.#dir = join(stateDir, name)
    this.#options = options
  }
  get pid(): number {
    return this.#child?.pid ?? 0
  }
  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  #command(): readonly string[] {
    const port = String(this.port)
    const dir = this.#dir
    switch (this.name) {
      case 'mosquitto': {
        const text = readFileSync(join(HERE, 'peers', 'mosquitto.conf'), 'utf8')
        writeFileSync(join(dir, 'mosquitto.conf'), text.replace('@PORT@', port).replace('@DIR@', dir))
        return [findProgram('mosquitto') ?? 'mosquitto', '-c', join(dir, 'mosquitto.conf')]
      }
      case 'aedes':
        return [process.execPath, join(HERE, 'peers', 'aedes.mjs'), port]
      case 'aedes-level':
        return [process.execPath, join(HERE, 'peers', 'aedes.mjs'), port, dir]
      case 'echo':
        return [process.execPath, join(HERE, 'peers', 'echo.mjs'), port]
      case 'beanstalkd':
        // -f 0: an fsync before each answer
        return [findProgram('beanstalkd') ?? 'beanstalkd', '-l', '127.0.0.1', '-p', port, '-b', dir, '-f', '0']
      default: {
        const { command, profileDir, set } = this.#options
        const durability = this.name === 'ours-os' ? 'os' : 'fsync'
        if (command !== undefined) return ['sh', '-c', `exec ${fillIn(command, { port, dir, durability })}`]
        const settings = [
          `store.path=${join(dir, 'data')}`,
          'mqtt.host=127.0.0.1',
          `mqtt.port=${port}`,
          `http.port=${this.httpPort === 0 ? 'off' : this.httpPort}`,
          `store.durability=${durability}`,
          ...set,
        ]
        const profile = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`]
        return [process.execPath, ...profile, join(ROOT, 'dist', 'main.js'), 'serve', ...settings.flatMap((s) => ['--set', s])]
      }
    }
  }

  /** @throws Error with the end of its output when it does not answer within 30 s. */
  async start(): Promise<void> {
    rmSync(this.#dir, { recursive: true, force: true })
    mkdirSync(this.#dir, { recursive: true })
    this.port = await freePort()
    this.httpPort = this.#options.http === true && this.name.startsWith('ours') ? await freePort() : 0
    const log = join(this.#dir, 'output.txt')
    const fd = openSync(log, 'w')
    // thousands of idle connections need as many descriptors; pinned, so that the load has the other core to itself
    const wrapped = ['ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh', ...pin(0), ...this.#command()]
    this.#child = spawn('sh', ['-c', ...wrapped], { cwd: this.#dir, stdio: ['ignore', fd, fd] })
    closeSync(fd)
    const limit = Date.now() + 30_000
    while (!(await answers(this.port))) {
      if (!this.running || Date.now() > limit) {
        await this.stop()
        throw new Error(`${this.name} did not start: ${readFileSync(log, 'utf8').slice(-600).trim()}`)
      }
      await sleep(50)
    }
    await sleep(300)
  }

  /** Ends the process; false when it had to be killed or did not end well. */
  async stop(): Promise<boolean> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined) return true
    if (child.exitCode !== null || child.signalCode !== null) return false
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const patience = new AbortController()
    const late = sleep(15_000, 'late', { signal: patience.signal }).catch(() => 'ended')
    if ((await Promise.race([ended.then(() => 'ended'), late])) === 'late') child.kill('SIGKILL')
    patience.abort()
    await ended
    return child.exitCode === 0
  }
}

/** The words that keep a command on one core, where taskset is there and there are two to share. */
export function pin(cpu: 0 | 1): readonly string[] {
  const taskset = findProgram('taskset')
  return taskset === undefined || availableParallelism() < 2 ? [] : [taskset, '-c', String(cpu)]
}
