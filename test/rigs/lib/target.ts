/** Brokers under test. A target runs as one process on one folder and is ended by its process id only. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface StartOptions {
  /** Added to the environment: a preload library, say. */
  env?: Record<string, string>
  /** Added to the command line, `KEY=VALUE` settings for Aqueduct. */
  settings?: readonly string[]
  /** Start-up is given up after this time. Default 30,000. */
  limit_ms?: number
  /** File descriptors that it may have. */
  files?: number
}

export interface Running {
  port: number
  /** 0 where the target has none. */
  http_port: number
  pid: number
  start_ms: number
  /** What it said on stderr so far. */
  stderr(): string
  /** Exit code or signal name. */
  exited: Promise<string>
  gone(): boolean
  /** kill -9, and waits for the end. */
  kill(): Promise<void>
  /** SIGTERM, and after 10 s kill -9. */
  stop(): Promise<string>
}

/** A start that came to nothing. */
export class NotStarted extends Error {
  /** Exit code or signal name; undefined when it was given up. */
  readonly how: string | undefined
  readonly stderr: string

  constructor(how: string | undefined, limit_ms: number, stderr: string) {
    super(`the broker did not start (${how ?? `nothing within ${limit_ms} ms`}): ${stderr.slice(-2000)}`)
    this.how = how
    this.stderr = stderr
  }
}

export interface Target {
  name: string
  start(dir: string, options?: StartOptions): Promise<Running>
}

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..', '..')

/** Every process that a rig started and that has not ended; ended when the rig ends, however it does. */
const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

export function track(child: ChildProcess): ChildProcess {
  alive.add(child)
  child.once('exit', () => alive.delete(child))
  return child
}

interface Launch {
  command: string
  args: string[]
  /** The port when it is known before; else it is read from the output. */
  port?: number
  http?: boolean
}

async function launch(what: Launch, options: StartOptions): Promise<Running> {
  const began = Date.now()
  const child = track(
    spawn(what.command, what.args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, cwd: root }),
  )
  let err = ''
  let over = false
  child.stderr?.on('data', (chunk: Buffer) => {
    err = (err + chunk.toString()).slice(-200_000)
  })
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      over = true
      resolve(signal ?? String(code))
    })
    child.once('error', (error) => {
      over = true
      resolve(error.message)
    })
  })
  // Its last words may come after its end.
  const silent = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const ports = { mqtt: what.port ?? 0, http: 0 }
  let out = ''
  const ready = new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      if (ports.mqtt > 0 && (ports.http > 0 || what.http !== true)) return
      out += chunk.toString()
      for (const door of ['mqtt', 'http'] as const) {
        const found = new RegExp(`\\b${door} listening on \\S*:(\\d+)`).exec(out)
        if (found !== null) ports[door] = Number(found[1])
      }
      if (ports.mqtt > 0 && (ports.http > 0 || what.http !== true)) resolve()
    })
  })
  const limit_ms = options.limit_ms ?? 30_000
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limit_ms)
  })
  const failure = await Promise.race([what.port === undefined ? ready : answering(what.port, limit_ms), exited, timeout])
  clearTimeout(timer)
  if (failure !== undefined) {
    child.kill('SIGKILL')
    await silent
    throw new NotStarted(failure ?? undefined, limit_ms, err)
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return {
    port: ports.mqtt,
    http_port: ports.http,
    pid: child.pid ?? 0,
    start_ms: Date.now() - began,
    stderr: () => err,
    exited,
    gone: () => over,
    kill,
    stop: async () => {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
      const how = await exited
      clearTimeout(late)
      return how
    },
  }
}

async function answering(port: number, limit_ms: number): Promise<undefined> {
  const { MqttClient } = await import('../../support/mqtt-client.js')
  const end = Date.now() + limit_ms
  while (Date.now() < end) {
    try {
      ;(await MqttClient.open(port)).destroy()
      return
    } catch {
      await new Promise((r) => setTimeout(r, 20))
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** The built program of this repository. `settings` are its `--set` values. */
function aqueduct(settings: readonly string[]): Target {
  return {
    name: 'aqueduct',
    start: (dir, options = {}) => {
      const all = [`store.path=${dir}`, 'mqtt.port=0', 'http.port=off', ...settings, ...(options.settings ?? [])]
      const http = all.findLast((s) => s.startsWith('http.port=')) !== 'http.port=off'
      const args = [join(root, 'dist', 'main.js'), 'serve', ...all.flatMap((s) => ['--set', s])]
      if (options.files === undefined) return launch({ command: process.execPath, args, http }, options)
      const script = `ulimit -n ${options.files}; exec "$@"`
      return launch({ command: 'bash', args: ['-c', script, 'bash', process.execPath, ...args], http }, options)
    },
  }
}

/** Plain Aedes on aedes-persistence-level: the baseline whose losses must show. */
const aedesLevel: Target = {
  name: 'aedes-level',
  start: (dir, options = {}) =>
    launch({ command: process.execPath, args: [join(here, '..', 'targets', 'aedes-level.mjs'), dir] }, options),
}

/** Debian's mosquitto at its strictest persistence. */
const mosquitto: Target = {
  name: 'mosquitto',
  start: async (dir, options = {}) => {
    mkdirSync(dir, { recursive: true })
    const port = await freePort()
    const lines = [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'user root',
      'persistence true',
      `persistence_location ${dir}/`,
      'autosave_interval 1',
      'autosave_on_changes true',
      'max_queued_messages 0',
      'max_inflight_messages 1000',
      'allow_duplicate_messages false',
    ]
    const file = join(dir, 'mosquitto.conf')
    writeFileSync(file, `${lines.join('\n')}\n`)
    return launch({ command: 'mosquitto', args: ['-c', file], port }, options)
  },
}

export function targetNamed(name: string, settings: readonly string[] = []): Target {
  if (name === 'aqueduct') return aqueduct(settings)
  if (name === 'aedes-level') return aedesLevel
  if (name === 'mosquitto') return mosquitto
  throw new Error(`no target ${name}; there are aqueduct, aedes-level, mosquitto`)
}
