/** The commands as processes: real pipes, real signals, a server of its own. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startTestApp } from './support/broker.js'

// A start takes about a second; a loaded machine may need many.
vi.setConfig({ testTimeout: 60_000 })

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
let app: Awaited<ReturnType<typeof startTestApp>>
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.close())

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** `onLine` is called for each line of output, with a way to stop reading and one to send a signal. */
function aqueduct(
  words: readonly string[],
  o: { input?: string | Buffer; onLine?: (line: string, to: { leave(): void; kill(signal: NodeJS.Signals): void }) => void } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, ['--import=tsx', main, ...words], {
    env: { ...process.env, AQUEDUCT_URL: `http://127.0.0.1:${app.httpPort}` },
    stdio: [o.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  let [out, err, rest] = ['', '', '']
  const to = { leave: () => child.stdout?.destroy(), kill: (signal: NodeJS.Signals) => void child.kill(signal) }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text
    const lines = (rest + text).split('\n')
    rest = lines.pop() as string
    for (const line of lines) o.onLine?.(line, to)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  child.stdin?.end(o.input)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, out, err }))
  })
}

describe('a command', () => {
  it('works as a process, from a pipe and to a pipe', async () => {
    expect(await aqueduct(['queue', 'create', 'work', '--json'])).toMatchObject({ code: 0, err: '' })
    const binary = Buffer.from([0, 0xff, 10, 13])
    expect(await aqueduct(['queue', 'send', 'work', '-'], { input: binary })).toMatchObject({ code: 0, err: '' })
    const [got] = await app.queues.peek('work')
    expect(got?.body.equals(binary)).toBe(true)
    const exported = await aqueduct(['export', 'work'])
    expect(exported).toMatchObject({ code: 0, err: 'exported 1 message of work\n' })
    expect(await aqueduct(['import', 'copy'], { input: exported.out })).toMatchObject({
      code: 0,
      out: 'imported 1 message\n',
      err: '',
    })
    expect((await app.queues.peek('copy'))[0]?.body.equals(binary)).toBe(true)
  })

  it.each([
    [['queue', 'show', 'nobody'], 3],
    [['queue', 'list', '--url', 'http://127.0.0.1:9'], 4],
    [['queue', 'lits'], 2],
  ])('%j ends with exit code %d', async (words, code) => {
    const ran = await aqueduct(words)
    expect(ran).toMatchObject({ code, out: '' })
    expect(ran.err).toMatch(/^(aqueduct|error): /)
  })

  it('refuses an argument that is no UTF-8, which would be stored as something else', async () => {
    await app.queues.put('bytes')
    for (const [argument, code] of [
      ['a\\377', 2],
      ['a\\357\\277\\275', 0],
    ] as const) {
      const script = `exec "$0" --import=tsx "$1" queue send bytes "$(printf '${argument}')" --url "$2"`
      const child = spawn('sh', ['-c', script, process.execPath, main, `http://127.0.0.1:${app.httpPort}`], { stdio: 'ignore' })
      expect(await new Promise((resolve) => child.once('close', resolve))).toBe(code)
    }
    // The second is what it says it is.
    expect((await app.queues.peek('bytes')).map(({ body }) => body.toString())).toEqual(['a\ufffd'])
  })

  it('that follows a queue ends in order at SIGINT: what it printed is acknowledged', async () => {
    await app.queues.put('followed')
    await app.queues.send('followed', [{ body: 'one' }, { body: 'two' }])
    const ran = await aqueduct(['receive', 'followed'], { onLine: (line, { kill }) => line === 'two' && kill('SIGINT') })
    expect(ran).toEqual({ code: 0, out: 'one\ntwo\n', err: '' })
    expect(app.queues.get('followed').counts).toMatchObject({ ready: 0, leased: 0 })
  })

  it('whose reader goes away ends at once, quietly, and holds nothing back', async () => {
    await app.queues.put('piped')
    // More than a pipe takes.
    for (let i = 0; i < 20; i++)
      await app.queues.send(
        'piped',
        Array.from({ length: 50 }, () => ({ body: 'x'.repeat(4_000) })),
      )
    const ran = await aqueduct(['receive', 'piped'], { onLine: (_, { leave }) => leave() })
    expect(ran).toMatchObject({ code: 1, err: '' })
    const { ready, leased } = app.queues.get('piped').counts
    expect(leased).toBe(0)
    expect(ready).toBeGreaterThan(500)
  })
})
