/** The program from outside: a process, its two outputs, its signals and its exit codes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

// A start takes about a second; a loaded machine may need many.
vi.setConfig({ testTimeout: 60_000 })

const root = fileURLToPath(new URL('..', import.meta.url))
const started: ChildProcess[] = []
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-cli-'))
})
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

interface Program {
  readonly child: ChildProcess
  /** Resolves with the port once the line of this listener is there; rejects when the program ends first. */
  port(listener: 'mqtt' | 'http'): Promise<number>
  readonly ended: Promise<{ code: number | null; out: string; err: string }>
}

function aqueduct(...args: string[]): Program {
  const child = spawn(process.execPath, ['--import=tsx', join(root, 'src/main.ts'), ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.push(child)
  let out = ''
  let err = ''
  const watchers: (() => void)[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    for (const look of watchers) look()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }))
  })
  const port = (listener: string) =>
    new Promise<number>((resolve, reject) => {
      const look = () => {
        const found = new RegExp(`^${listener} listening on 127\\.0\\.0\\.1:(\\d+)$`, 'm').exec(out)
        if (found !== null) resolve(Number(found[1]))
      }
      watchers.push(look)
      look()
      void ended.then(({ code }) => reject(new Error(`ended with ${code}: ${out}${err}`)))
    })
  return { child, port, ended }
}

const serve = (...set: string[]) =>
  aqueduct(
    'serve',
    ...[`store.path=${join(folder, 'a/b')}`, 'mqtt.port=0', 'http.port=0', ...set].flatMap((one) => ['--set', one]),
  )

const opens = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })

describe('aqueduct serve', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('listens, says where, and exits 0 on %s', async (signal) => {
    const program = serve()
    const [mqtt, http] = await Promise.all([program.port('mqtt'), program.port('http')])
    expect(await opens(mqtt)).toBe(true)
    expect(await opens(http)).toBe(true)
    expect(statSync(join(folder, 'a/b')).mode & 0o777).toBe(0o700)
    program.child.kill(signal)
    program.child.kill(signal)
    const { code, out, err } = await program.ended
    expect(code).toBe(0)
    expect(out.trimEnd().split('\n').sort()).toEqual([
      `http listening on 127.0.0.1:${http}`,
      `mqtt listening on 127.0.0.1:${mqtt}`,
    ])
    for (const line of err.trimEnd().split('\n')) expect(() => JSON.parse(line), line).not.toThrow()
    expect(await opens(mqtt)).toBe(false)
  })

  it('stays until it is told to stop, also with every listener off', async () => {
    const program = serve('mqtt.port=off', 'http.port=off')
    let logged = ''
    await new Promise<void>((resolve) => {
      program.child.stderr?.on('data', (text: string) => {
        logged += text
        if (logged.includes('\n')) resolve()
      })
      void program.ended.then(() => resolve())
    })
    expect(program.child.exitCode).toBe(null)
    program.child.kill('SIGTERM')
    const { code, out } = await program.ended
    expect([code, out]).toEqual([0, ''])
  })

  it.each(['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)('says that %s has nothing to do, and goes on', async (signal) => {
    const program = serve()
    const mqtt = await program.port('mqtt')
    program.child.kill(signal)
    expect(await opens(mqtt)).toBe(true)
    program.child.kill('SIGTERM')
    const { code, err } = await program.ended
    expect(code).toBe(0)
    expect(err).toContain(`"signal":"${signal}"`)
    expect(err).not.toContain('Debugger')
  })

  it('exits 1 with one sentence when another process holds the folder', async () => {
    const first = serve()
    await first.port('mqtt')
    const { code, out, err } = await serve('log.level=silent').ended
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(err).toMatch(/^aqueduct: [^\n]*\n$/)
    expect(err).toContain(join(folder, 'a/b'))
    first.child.kill('SIGTERM')
    expect((await first.ended).code).toBe(0)
  })

  it.each(['mqtt', 'http'] as const)('exits 1, naming the setting, when the %s port is in use', async (door) => {
    const holder = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => holder.once('listening', resolve))
    const { port } = holder.address() as { port: number }
    try {
      const { code, err } = await serve(`${door}.port=${port}`, 'log.level=silent').ended
      expect(code).toBe(1)
      expect(err).toMatch(/^aqueduct: [^\n]*\n$/)
      expect(err).toContain(`${door}.port`)
      expect(err).toContain(String(port))
    } finally {
      holder.close()
    }
  })

  it('exits 2 before it opens anything when a setting is wrong', async () => {
    const { code, out, err } = await serve('mqtt.prt=1').ended
    expect(code).toBe(2)
    expect(out).toBe('')
    expect(err).toMatch(/^aqueduct: mqtt\.prt = "1" [^\n]*mqtt\.port[^\n]*\n$/)
    expect(existsSync(join(folder, 'a'))).toBe(false)
  })
})
