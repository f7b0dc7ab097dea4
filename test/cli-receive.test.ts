/** `aqueduct receive`: follows a queue, acknowledges what was printed and nothing else. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp } from './support/broker.js'
import { cli, runOn } from './support/cli.js'
import { TestTerminal } from './support/terminal.js'

let app: Awaited<ReturnType<typeof startTestApp>>
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.close())

async function filled(name: string, count: number): Promise<string[]> {
  await app.queues.put(name)
  const bodies = Array.from({ length: count }, (_, i) => `message ${i}`)
  for (let i = 0; i < count; i += 256)
    await app.queues.send(
      name,
      bodies.slice(i, i + 256).map((body) => ({ body })),
    )
  return bodies
}

const left = (name: string) => {
  const { ready, leased } = app.queues.get(name).counts
  return { ready, leased }
}

describe('aqueduct receive', () => {
  it('prints all that waits, in order, and ends when none came for a while', async () => {
    const bodies = await filled('all', 500)
    const { code, terminal, err } = await cli(app.httpPort, ['receive', 'all', '--idle-ms', '50'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(terminal.lines).toEqual(bodies)
    expect(left('all')).toEqual({ ready: 0, leased: 0 })
    expect(await cli(app.httpPort, ['receive', 'all', '--idle-ms', '50'])).toMatchObject({
      code: 3,
      out: '',
      err: 'No message came from all.\n',
    })
  })

  it('takes no more than --max', async () => {
    const bodies = await filled('some', 100)
    const { code, json } = await cli(app.httpPort, ['receive', 'some', '--max', '70', '--json'])
    expect(code).toBe(0)
    expect(json.map((m) => m.body)).toEqual(bodies.slice(0, 70))
    expect(Object.keys(json[0])).not.toContain('receipt')
    expect(left('some')).toEqual({ ready: 30, leased: 0 })
    const [next] = await app.queues.receive('some')
    expect(next?.attempts).toBe(1)
  })

  it('follows what comes later, until it is interrupted', async () => {
    await filled('later', 1)
    const terminal = new TestTerminal()
    const ran = runOn(terminal, app.httpPort, ['receive', 'later'])
    const printed = (lines: number) =>
      new Promise<void>((resolve) => {
        const look = (): void => void (terminal.lines.length >= lines && resolve())
        terminal.onPrint = look
        look()
      })
    await printed(1)
    await app.queues.send('later', [{ body: 'two' }])
    await printed(2)
    terminal.interrupt()
    expect(await ran).toMatchObject({ code: 0, out: 'message 0\ntwo\n', err: '' })
    expect(left('later')).toEqual({ ready: 0, leased: 0 })
    // The server hears of a closed connection a moment later than we close it.
    while (app.queues.get('later').receivers > 0) await new Promise((resolve) => setTimeout(resolve, 2))
    await app.queues.send('later', [{ body: 'three' }])
    expect(left('later')).toEqual({ ready: 1, leased: 0 })
  })

  it('gives all of them back with --no-ack', async () => {
    const bodies = await filled('kept', 5)
    const { code, terminal } = await cli(app.httpPort, ['receive', 'kept', '--no-ack', '--max', '3'])
    expect(code).toBe(0)
    expect(terminal.lines).toEqual(bodies.slice(0, 3))
    expect(left('kept')).toEqual({ ready: 5, leased: 0 })
    // Nobody worked on them.
    expect((await app.queues.receive('kept'))[0]?.attempts).toBe(1)
  })

  it('gives back what its reader did not take, and says nothing', async () => {
    const bodies = await filled('pipe', 10)
    const { code, terminal, err } = await cli(app.httpPort, ['receive', 'pipe'], { reads: 4 })
    expect({ code, err }).toEqual({ code: 1, err: '' })
    expect(terminal.lines).toEqual(bodies.slice(0, 4))
    expect(left('pipe')).toEqual({ ready: 6, leased: 0 })
    const [next] = await app.queues.receive('pipe')
    expect(next?.body.toString()).toBe('message 4')
    expect(next?.attempts).toBe(1)
  })

  it('prints bytes as they are for a program, and nothing that a terminal would obey for a person', async () => {
    const binary = Buffer.from([0xff, 0x1b, 0x00])
    await filled('bytes', 0)
    for (let i = 0; i < 2; i++) await app.queues.send('bytes', [{ body: binary }, { body: '\x1b[31mred' }])
    const program = await cli(app.httpPort, ['receive', 'bytes', '--max', '2'])
    expect([...program.terminal.written]).toEqual([...binary, 10, ...Buffer.from('\x1b[31mred\n')])
    const person = await cli(app.httpPort, ['receive', 'bytes', '--max', '2'], { isTerminal: { out: true } })
    expect(person.terminal.lines).toEqual([`base64:${binary.toString('base64')}`, '\\x1b[31mred'])
  })
})

describe('a server that is away', () => {
  it.each([
    ['queue', 'list'],
    ['receive', 'q'],
    ['queue', 'send', 'q', 'x'],
  ])('is exit code 4: %s %s', async (...words) => {
    const { code, err, out } = await cli(65_000, words)
    expect(code).toBe(4)
    expect(out).toBe('')
    expect(err).toBe('aqueduct: Nothing answers at http://127.0.0.1:65000: the connection was refused.\n')
  })

  it('is told apart from an address that cannot be', async () => {
    expect(await cli(1, ['queue', 'list', '--url', 'ftp://x'])).toMatchObject({ code: 2 })
    const { code, err } = await cli(app.httpPort, ['queue', 'list', '--url', `http://127.0.0.1:${app.httpPort}/elsewhere`])
    expect(code).toBe(3)
    expect(err).toContain('nothing at this path')
  })
})
