/** `aqueduct queue …` against the whole program over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { QUEUE_ATTRIBUTES } from '../src/cli/attributes.js'
import { ATTRIBUTES } from '../src/queue/attributes.js'
import { startTestApp } from './support/broker.js'
import { cli } from './support/cli.js'
import type { TestTerminalOptions } from './support/terminal.js'

let app: Awaited<ReturnType<typeof startTestApp>>
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.close())

const aqueduct = (line: string, o?: TestTerminalOptions) => cli(app.httpPort, line.split(' '), o)
const words = (...all: string[]) => cli(app.httpPort, all)

describe('aqueduct queue', () => {
  it('makes, shows, changes and deletes a queue', async () => {
    const made = await aqueduct('queue create q1 lease_ms=60000 fifo=true dead_letter=123 --json')
    expect(made.code).toBe(0)
    expect(made.json).toMatchObject([{ name: 'q1', attributes: { lease_ms: 60_000, fifo: true, dead_letter: '123' } }])
    expect(await aqueduct('queue update q1 max_attempts=3')).toMatchObject({ code: 0, err: '' })
    const shown = await aqueduct('queue show q1')
    expect(shown.out).toMatch(/^queue +q1$/m)
    expect(shown.out).toMatch(/^ +lease_ms +60000$/m)
    expect(shown.out).toMatch(/^ +max_attempts +3$/m)
    expect(await aqueduct('queue delete q1')).toMatchObject({ code: 0, out: 'deleted q1\n' })
    expect(await aqueduct('queue show q1')).toMatchObject({ code: 3, out: '', err: 'aqueduct: There is no queue "q1".\n' })
  })

  it('makes no queue twice, and leaves one as it is with --if-missing', async () => {
    await aqueduct('queue create twice lease_ms=1000')
    const again = await aqueduct('queue create twice lease_ms=2000')
    expect(again).toMatchObject({ code: 1, out: '' })
    expect(again.err).toContain('queue update')
    const kept = await aqueduct('queue create twice lease_ms=2000 --if-missing --json')
    expect(kept.code).toBe(0)
    expect(kept.json[0].attributes.lease_ms).toBe(1000)
  })

  it.each([
    ['queue update nobody lease_ms=1', 3],
    ['queue delete nobody', 3],
    ['queue send nobody x', 3],
    ['queue receive nobody', 3],
    ['receive nobody', 3],
    ['queue ack nobody r', 3],
    ['queue create bad lease_ms=-1', 1],
    ['queue create bad lease=1', 1],
    ['queue create bad/name', 1],
    ['queue create .. --if-missing', 1],
    ['queue create bad lease_ms', 2],
    ['queue create bad =1', 2],
    ['queue create bad lease_ms=1 lease_ms=2', 2],
    ['queue update bad', 2],
    ['queue receive bad --max many', 2],
    ['queue', 2],
    ['queue lits', 2],
  ])('%s exits %d with a sentence, and makes nothing', async (line, code) => {
    const ran = await aqueduct(line)
    expect(ran.code, ran.err).toBe(code)
    expect(ran.err.length).toBeGreaterThan(10)
    expect(ran.err).not.toMatch(/^ +at /m)
    if (code !== 2) expect(ran.err).toMatch(/^aqueduct: [^\n]*\.\n$/)
    expect(ran.out).toBe('')
    expect(await aqueduct('queue show bad')).toMatchObject({ code: 3 })
  })

  it('deletes what is there and tells what is not', async () => {
    await aqueduct('queue create gone')
    expect(await aqueduct('queue delete no gone nix')).toMatchObject({ code: 3, out: 'deleted gone\n' })
    expect(await aqueduct('queue delete no --if-exists')).toMatchObject({ code: 0, out: '', err: '' })
  })

  it('lists all of them, over pages, as a table and as lines of JSON', async () => {
    await Promise.all(Array.from({ length: 1100 }, (_, i) => app.queues.put(`list.${String(i).padStart(4, '0')}`)))
    const lines = (await aqueduct('queue list --prefix list. --json')).json
    expect(lines.map((q) => q.name)).toEqual(Array.from({ length: 1100 }, (_, i) => `list.${String(i).padStart(4, '0')}`))
    const table = (await aqueduct('queue list --prefix list.10')).out.trimEnd().split('\n')
    expect(table).toHaveLength(101)
    expect(table[0]).toMatch(/^QUEUE +READY +LEASED/)
    expect(await aqueduct('queue list --prefix none')).toMatchObject({ code: 0, out: '' })
    expect(await aqueduct('queue list --prefix none --json')).toMatchObject({ code: 0, out: '' })
  })

  it('teaches every attribute that a queue has, with its default', () => {
    expect(Object.keys(QUEUE_ATTRIBUTES)).toEqual(Object.keys(ATTRIBUTES))
    for (const [name, { text }] of Object.entries(QUEUE_ATTRIBUTES)) {
      const { standard } = ATTRIBUTES[name as keyof typeof ATTRIBUTES]
      if (name !== 'dead_letter') expect(text, name).toContain(`(${standard})`)
    }
  })

  it('has a help that teaches the whole way of a message', async () => {
    const { out, code } = await aqueduct('queue --help')
    expect(code).toBe(0)
    for (const word of ['create orders', 'send orders', 'receive orders', 'ack orders']) expect(out).toContain(word)
    expect((await aqueduct('queue create --help')).out).toContain('max_attempts=n')
  })
})

describe('messages', () => {
  it('are sent, received, kept longer, given back and acknowledged', async () => {
    await aqueduct('queue create m')
    const sent = await words('queue', 'send', 'm', 'hello there', '--key', 'k', '--priority', '2', '--topic', 'a/b', '--json')
    expect(sent.code).toBe(0)
    const { id } = sent.json[0]
    const [got] = (await aqueduct('queue receive m --max 5 --json')).json
    expect(got).toMatchObject({ id, body: 'hello there', key: 'k', priority: 2, topic: 'a/b', attempts: 1 })
    expect(await words('queue', 'extend', 'm', got.receipt, '--lease-ms', '90000')).toMatchObject({
      code: 0,
      out: `ok  ${got.receipt}\n`,
    })
    expect(await words('queue', 'nack', 'm', got.receipt)).toMatchObject({ code: 0 })
    const [again] = (await aqueduct('queue receive m --json')).json
    expect(again.attempts).toBe(2)
    const acks = await words('queue', 'ack', 'm', got.receipt, again.receipt, '--json')
    expect(acks.code).toBe(1)
    expect(acks.json.map((r: { ok: boolean; code?: string }) => r.code ?? r.ok)).toEqual(['receipt_invalid', true])
    expect(await aqueduct('queue receive m')).toMatchObject({
      code: 3,
      out: '',
      err: 'm has no message that can be received now.\n',
    })
    expect(await aqueduct('queue receive m --json')).toMatchObject({ code: 3, out: '', err: '' })
  })

  it('that are received with --ack are gone when they are printed', async () => {
    await aqueduct('queue create acked')
    await words('queue', 'send', 'acked', 'one')
    const { out, code } = await aqueduct('queue receive acked --ack')
    expect(code).toBe(0)
    expect(out).toContain('one')
    expect(app.queues.get('acked').counts).toMatchObject({ ready: 0, leased: 0 })
  })

  it('go back at once when they could not be printed', async () => {
    await aqueduct('queue create unprinted')
    await words('queue', 'send', 'unprinted', 'one')
    expect(await aqueduct('queue receive unprinted --json', { reads: 0 })).toMatchObject({ code: 1, err: '' })
    expect(app.queues.get('unprinted').counts).toMatchObject({ ready: 1, leased: 0 })
  })

  it('are bytes, from standard input, a file or the command line', async () => {
    await aqueduct('queue create bytes')
    const binary = Buffer.from([0, 255, 10, 13, 0xc3])
    await aqueduct('queue send bytes -', { input: [binary.subarray(0, 2), binary.subarray(2)] })
    await aqueduct('queue send bytes', { input: ['from nowhere'] })
    await words('queue', 'send', 'bytes', `@${import.meta.dirname}/../LICENSE`)
    await words('queue', 'send', 'bytes', '@@home')
    await words('queue', 'send', 'bytes', '')
    const got = await app.queues.receive('bytes', { max: 10 })
    expect(got[0]?.body.equals(binary)).toBe(true)
    expect(got[1]?.body.toString()).toBe('from nowhere')
    expect(got[2]?.body.toString()).toContain('MIT')
    expect(got[3]?.body.toString()).toBe('@home')
    expect(got[4]?.body.toString()).toBe('')
    expect(await words('queue', 'send', 'bytes', '@/no/such/file')).toMatchObject({ code: 1 })
    expect(await aqueduct('queue send bytes', { isTerminal: { input: true } })).toMatchObject({ code: 2 })
  })

  it('with an id that was sent before are told', async () => {
    await aqueduct('queue create ids')
    const [first] = (await aqueduct('queue send ids x --dedup-id 7 --json')).json
    const again = await aqueduct('queue send ids x --dedup-id 7')
    expect(again).toMatchObject({ code: 0, out: `${first.id} was sent before\n` })
  })

  it('are sent by the line, in order, text or not', async () => {
    await aqueduct('queue create lines')
    const input = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).concat('last, without an end')
    const ran = await aqueduct('queue send lines --lines --key k', { input })
    expect(ran).toMatchObject({ code: 0, out: 'sent 1,001 messages\n', err: '' })
    const bodies: string[] = []
    for (let i = 0; i < 4; i++) bodies.push(...(await app.queues.receive('lines', { max: 256 })).map((m) => m.body.toString()))
    expect(bodies).toEqual([...input.slice(0, -1).map((line) => line.trimEnd()), 'last, without an end'])
    await aqueduct('queue create odd')
    await aqueduct('queue send odd --lines', { input: [Buffer.from([0xff, 0xfe, 10, 0xff])] })
    expect((await app.queues.receive('odd', { max: 9 })).map((m) => [...m.body])).toEqual([[0xff, 0xfe], [0xff]])
  })

  it('that the queue has no room for are not half sent', async () => {
    await aqueduct('queue create small max_messages=3')
    const { code, err } = await aqueduct('queue send small --lines', { input: ['1\n2\n3\n4\n'] })
    expect(code).toBe(1)
    expect(err).toContain('full')
    expect(err).toContain('0 messages were sent before')
    expect(app.queues.get('small').counts.ready).toBe(0)
  })

  it('show nothing that a terminal would obey', async () => {
    await aqueduct('queue create hostile')
    await words('queue', 'send', 'hostile', '\x1b]0;title\x07\u202eabc\n', '--key', '\x1b[2J')
    const { out } = await aqueduct('queue receive hostile')
    expect(out).toContain('\\x1b]0;title\\x07\\u{202e}abc\\n')
    expect(out.replaceAll('\n', '')).not.toMatch(/[\x00-\x1f\x7f-\x9f]/)
  })
})
