/** What every scenario gets: the built broker in a folder of its own, free ports, and things to wait for. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Running, type StartOptions, targetNamed, track } from '../../rigs/lib/target.js'

export interface Scene {
  readonly folder: string
  broker: Running
  /** Starts it anew on the same folder and port. */
  restart(): Promise<void>
  /** A program of others, ended with the scenario. `said()`: both its outputs so far. */
  run(command: string, args: readonly string[], o?: { cwd?: string; env?: Record<string, string>; input?: string }): Program
}

export interface Program {
  readonly child: ChildProcess
  readonly ended: Promise<number>
  said(): string
}

export interface Scenario {
  readonly name: string
  /** Throws a sentence when it does not go as its users expect. */
  play(scene: Scene): Promise<void>
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Polls until `done`; throws with `what` after `limit_ms`. */
export async function until(what: string, done: () => boolean | Promise<boolean>, limit_ms = 30_000): Promise<void> {
  const end = Date.now() + limit_ms
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`not within ${limit_ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

export function check(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(sentence)
}

/** Plays one scenario; resolves with what went wrong, or undefined. */
export async function play({ play }: Scenario): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'aqueduct-clients-'))
  const port = await freePort()
  const options: StartOptions = { settings: [`mqtt.port=${port}`, 'http.port=0', 'log.level=warn'] }
  const target = targetNamed('aqueduct')
  const programs: Program[] = []
  const scene: Scene = {
    folder,
    broker: await target.start(join(folder, 'data'), options),
    async restart() {
      this.broker = await target.start(join(folder, 'data'), options)
    },
    run(command, args, o = {}) {
      const program = start(command, args, o)
      programs.push(program)
      return program
    },
  }
  try {
    await play(scene)
    return undefined
  } catch (error) {
    const tails = programs.map((p) => p.said().slice(-1500)).join('\n--\n')
    return `${error instanceof Error ? error.message : String(error)}\n${tails}\n-- broker\n${scene.broker.stderr().slice(-1500)}`
  } finally {
    for (const { child } of programs) child.kill('SIGKILL')
    await Promise.all(programs.map(({ ended }) => ended))
    await scene.broker.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function start(
  command: string,
  args: readonly string[],
  o: { cwd?: string; env?: Record<string, string>; input?: string },
): Program {
  const child = track(
    spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...o.env },
      ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
    }),
  )
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000_000)
    })
  }
  child.stdin?.on('error', () => {})
  child.stdin?.end(o.input ?? '')
  const ended = new Promise<number>((resolve) => {
    child.once('error', () => resolve(127))
    child.once('close', (code) => resolve(code ?? 1))
  })
  return { child, ended, said: () => said }
}
