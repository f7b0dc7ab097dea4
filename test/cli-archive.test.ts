/** `aqueduct export` and `import`: a queue as a file, whole, and back again. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestApp } from './support/broker.js'
import { cli } from './support/cli.js'
import type { TestTerminalOptions } from './support/terminal.js'

let app: Awaited<ReturnType<typeof startTestApp>>
let folder: string
let file: string
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.close())
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-archive-'))
  file = join(folder, 'queue.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const words = (...all: string[]) => cli(app.httpPort, all)
const given = (o: TestTerminalOptions, ...all: string[]) => cli(app.httpPort, all, o)
const counts = (queue: string) => app.queues.get(queue).counts

async function send(queue: string, count: number): Promise<string[]> {
  const bodies = Array.from({ length: count }, (_, i) => `message ${i}`)
  for (let i = 0; i < count; i += 256)
    await app.queues.send(
      queue,
      bodies.slice(i, i + 256).map((body) => ({ body })),
    )
  return bodies
}

async function bodiesOf(queue: string): Promise<string[]> {
  const all: string[] = []
  for (;;) {
    const got = await app.queues.receive(queue, { max: 256 })
    if (got.length === 0) return all
    all.push(...got.map((m) => m.body.toString('latin1')))
  }
}

describe('an export', () => {
  it('keeps all of a message that is too large for a batch', async () => {
    await app.queues.put('whole')
    const properties = { content_type: 'image/x', response_topic: 'a/ü', user_properties: [['n', '&=']] } as const
    const large = Buffer.alloc(600_000, 0xff)
    await app.queues.send('whole', [{ body: large, properties, tag: 't', priority: 3, key: 'k' }])
    expect(await words('export', 'whole', file)).toMatchObject({ code: 0 })
    expect(await words('import', 'copy', file)).toMatchObject({ code: 0, err: '' })
    const [m] = await app.queues.receive('copy')
    expect(m).toMatchObject({ properties, tag: 't', priority: 3, key: 'k' })
    expect(m?.body.equals(large)).toBe(true)
  })

  it('is not read where it is no UTF-8', async () => {
    await app.queues.put('bytes')
    await words('export', 'bytes', file)
    const [head = ''] = readFileSync(file, 'utf8').split('\n')
    writeFileSync(file, Buffer.concat([Buffer.from(`${head}\n{"body":"`), Buffer.of(0xff), Buffer.from('"}\n')]))
    expect(await words('import', 'bytes', file)).toMatchObject({ code: 1, err: expect.stringContaining('Line 2 is not UTF-8') })
  })

  it('comes back as the queue that it was, in order, with bytes, keys, priorities, topics and what is left of time', async () => {
    await app.queues.put('from', { fifo: true, lease_ms: 12_345 })
    await app.queues.send('from', [
      { body: 'second', key: 'k' },
      { body: Buffer.from([0xff, 0, 10]), topic: 'a/b', ttl_s: 1000 },
      { body: 'first', priority: 1, tag: 'urgent' },
      { body: 'later', delay_ms: 600_000 },
      { body: 'behind', key: 'k' },
      { body: 'line\nline "\u2028' },
      {
        body: 'with',
        properties: { content_type: 'a/b', correlation_data: Buffer.from([0, 255]), user_properties: [['n', 'v']] },
      },
    ])
    expect(await words('export', 'from', file)).toMatchObject({ code: 0, out: 'exported 7 messages of from\n', err: '' })
    expect(counts('from')).toMatchObject({ ready: 6, delayed: 1, leased: 0 })
    expect(await words('import', 'to', file)).toMatchObject({ code: 0, out: 'imported 7 messages\n', err: '' })
    expect(app.queues.get('to').attributes).toEqual(app.queues.get('from').attributes)
    expect(counts('to')).toMatchObject({ ready: 6, delayed: 1 })
    const [was, is] = await Promise.all(['from', 'to'].map((q) => app.queues.peek(q, { limit: 256 })))
    const known = (queue: string) => (m: { topic: string }) => ({ ...m, topic: m.topic.replace(`$queue/${queue}`, '$queue/*') })
    const fixed = { id: '', accepted_at: 0, until: 0, expires_at: 0 }
    expect(is?.map(known('to')).map((m) => ({ ...m, ...fixed }))).toEqual(
      was?.map(known('from')).map((m) => ({ ...m, ...fixed })),
    )
    const [later] = is?.filter((m) => m.state === 'delayed') ?? []
    expect(later?.until).toBeGreaterThan(Date.now() + 500_000)
    const [timed] = is?.filter((m) => m.topic === 'a/b') ?? []
    expect(timed?.expires_at).toBeLessThanOrEqual(Date.now() + 1_001_000)
    expect(is?.[0]).toMatchObject({ priority: 1, tag: 'urgent' })
    expect(is?.find((m) => m.body.equals(Buffer.from('with')))?.properties?.user_properties).toEqual([['n', 'v']])
    expect(timed?.body.equals(Buffer.from([0xff, 0, 10]))).toBe(true)
  })

  it('has a head, a line for each message and an end, to a file or to standard output', async () => {
    await app.queues.put('lines')
    await send('lines', 600)
    const { terminal, err, code } = await words('export', 'lines')
    expect({ code, err }).toEqual({ code: 0, err: 'exported 600 messages of lines\n' })
    const lines = terminal.lines.map((line) => JSON.parse(line))
    expect(lines[0]).toMatchObject({ aqueduct_export: 1, queue: 'lines', messages: 600 })
    expect(lines.slice(1, -1).map((m) => m.body)).toEqual(Array.from({ length: 600 }, (_, i) => `message ${i}`))
    expect(lines.at(-1)).toEqual({ aqueduct_export_end: 1, messages: 600 })
    await words('export', 'lines', file)
    expect(readFileSync(file, 'utf8').split('\n').slice(1)).toEqual(terminal.output.split('\n').slice(1))
  })

  it('does not write over a file, unless it is told to', async () => {
    await app.queues.put('over')
    writeFileSync(file, 'precious')
    const ran = await words('export', 'over', file, '--drain')
    expect(ran).toMatchObject({ code: 1, out: '' })
    expect(ran.err).toContain('--force')
    expect(readFileSync(file, 'utf8')).toBe('precious')
    expect(await words('export', 'over', file, '--force')).toMatchObject({ code: 0 })
    expect(readFileSync(file, 'utf8')).not.toContain('precious')
    expect(await words('export', 'over', join(folder, 'no/folder'))).toMatchObject({ code: 1, out: '' })
    expect(await words('export', 'nobody', join(folder, 'none'))).toMatchObject({ code: 3, out: '' })
  })

  it('with --drain takes what is ready out of the queue, and nothing else', async () => {
    await app.queues.put('drained')
    const bodies = await send('drained', 700)
    await app.queues.send('drained', [{ body: 'later', delay_ms: 60_000 }])
    const [held] = await app.queues.receive('drained')
    const ran = await words('export', 'drained', file, '--drain', '--json')
    expect(ran.json).toEqual([{ queue: 'drained', messages: 699 }])
    expect(counts('drained')).toMatchObject({ ready: 0, leased: 1, delayed: 1 })
    await app.queues.nack('drained', [held?.receipt as string])
    expect(await bodiesOf('drained')).toEqual(['message 0'])
    await words('import', 'refilled', file)
    expect(await bodiesOf('refilled')).toEqual(bodies.slice(1))
  })

  it('with --drain leaves in the queue what could not be written', async () => {
    await app.queues.put('unwritten')
    await send('unwritten', 600)
    const ran = await given({ reads: 300 }, 'export', 'unwritten', '--drain')
    expect(ran.code).toBe(1)
    const written = ran.terminal.lines.slice(1).length
    expect(counts('unwritten')).toMatchObject({ ready: 600 - written, leased: 0 })
    expect(ran.err).toBe(
      `aqueduct: not complete: ${written} messages were written. ${written} messages of them left the queue.\n`,
    )
  })

  it('shows how far it is to a person', async () => {
    await app.queues.put('bar')
    await send('bar', 300)
    const { err } = await given({ isTerminal: { err: true } }, 'export', 'bar', file)
    expect(err).toMatch(/\rexported █+░* 85 % · 256 of 300/)
  })
})

describe('an import', () => {
  const head = (queue = 'x') => JSON.stringify({ aqueduct_export: 1, queue, attributes: {}, messages: 0 })
  const end = JSON.stringify({ aqueduct_export_end: 1, messages: 0 })

  it('says how far it got, and goes on from there', async () => {
    await app.queues.put('small', { max_messages: 300 })
    await app.queues.put('large')
    const bodies = await send('large', 600)
    await words('export', 'large', file)
    const stopped = await words('import', 'small', file)
    expect(stopped.code).toBe(1)
    expect(stopped.out).toBe('')
    expect(stopped.err).toContain('stopped at line 258; 256 messages were imported. To go on: --from-line 258\n')
    expect(stopped.err).toMatch(/full/)
    await app.queues.put('small', { max_messages: 1000 })
    expect(await words('import', 'small', file, '--from-line', '258')).toMatchObject({ code: 0, out: 'imported 344 messages\n' })
    expect(await bodiesOf('small')).toEqual(bodies)
  })

  it('with --dedup may be repeated', async () => {
    await app.queues.put('once')
    await send('once', 10)
    await words('export', 'once', file)
    expect(await words('import', 'again', file, '--dedup')).toMatchObject({ out: 'imported 10 messages\n' })
    expect(await words('import', 'again', file, '--dedup')).toMatchObject({
      code: 0,
      out: 'imported 0 messages (10 were there before)\n',
    })
    expect(counts('again').ready).toBe(10)
    await words('import', 'again', file)
    expect(counts('again').ready).toBe(20)
  })

  it('leaves out what has expired, and keeps a queue as it is', async () => {
    await app.queues.put('kept', { lease_ms: 777 })
    const lines = [
      head(),
      JSON.stringify({ body: 'old', expires_at: 1 }),
      '',
      JSON.stringify({ body: 'new', accepted_at: 1, extra: [] }),
      end,
    ]
    const ran = await given({ input: lines.map((line) => `${line}\n`) }, 'import', 'kept', '-', '--json')
    expect(ran.json).toEqual([{ queue: 'kept', imported: 1, duplicates: 0, expired: 1, dropped: 0 }])
    expect(app.queues.get('kept').attributes.lease_ms).toBe(777)
    expect(await bodiesOf('kept')).toEqual(['new'])
  })

  it('takes a message that is larger than a batch may be', async () => {
    const body = 'x'.repeat(900_000)
    await app.queues.put('big', { max_message_bytes: 2_000_000 })
    await app.queues.send('big', [{ body: 'a' }, { body, key: 'k ü' }, { body: Buffer.alloc(1_500_000, 0xff) }, { body: 'b' }])
    await words('export', 'big', file)
    expect(await words('import', 'big2', file)).toMatchObject({ code: 0, err: '' })
    const got = await app.queues.peek('big2', { limit: 10 })
    expect(got.map((m) => [m.body.length, m.key])).toEqual([
      [1, ''],
      [900_000, 'k ü'],
      [1_500_000, ''],
      [1, ''],
    ])
  })

  it.each([
    ['', 'There is nothing in it'],
    ['hello\n', 'Line 1 is not JSON'],
    ['[]\n', 'Line 1 is no JSON object'],
    ['{"body":"x"}\n', 'Line 1 is not the head of an export'],
    ['{"aqueduct_export":2}\n', 'Line 1 is of form 2'],
    ['{"aqueduct_export":1}\n', 'Line 1 has no queue'],
    [`${head()}\n{"body":1}\n`, 'Line 2 has no body'],
    [`${head()}\n{"body":"x","encoding":"hex"}\n`, 'Line 2 has an encoding'],
    [`${head()}\n{"body":"x","key":7}\n`, 'Line 2 has a key that is no text'],
    [`${head()}\n{"body":"x","priority":"high"}\n`, 'Line 2 has a priority'],
    [`${head()}\n{"body":"x"}\n{"bod`, 'Line 3 is not JSON'],
    [`${head()}\n{"body":"x","encoding":"base64"}\n`, 'not base64'],
    [`${head()}\n{"body":"x","priority":99}\n`, 'priority'],
    [`${head()}\n${end}\n{"body":"x"}\n`, 'Line 3 is behind the end'],
  ])('refuses %j', async (text, message) => {
    const ran = await given({ input: [text] }, 'import', 'refusing')
    expect(ran.code).toBe(1)
    expect(ran.err).toContain(message)
    expect(ran.out).toBe('')
    expect(await words('queue', 'peek', 'refusing')).toMatchObject({ code: 3 })
  })

  it('imports what is there of a file that was cut, and says that it was', async () => {
    const ran = await given({ input: [`${head()}\n{"body":"x"}\n`] }, 'import', 'cut')
    expect(ran).toMatchObject({ code: 1, out: 'imported 1 message\n' })
    expect(ran.err).toContain('has no end')
  })

  it('asks for something to read, and tells a file that is not there', async () => {
    expect(await given({ isTerminal: { input: true } }, 'import', 'nothing')).toMatchObject({ code: 2 })
    expect(await words('import', 'nothing', join(folder, 'none'))).toMatchObject({ code: 1 })
    expect(await words('queue', 'show', 'nothing')).toMatchObject({ code: 3 })
  })
})

describe('whatever the bytes', () => {
  it('an export and its import are the same queue', async () => {
    let n = 0
    const message = fc.record({ body: fc.uint8Array({ maxLength: 300 }), key: fc.string({ unit: 'grapheme', maxLength: 20 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 40 }), async (messages) => {
        const [from, to] = [`any.${n}`, `any.${n}.again`]
        const path = join(folder, `any.${n++}`)
        await app.queues.put(from)
        await app.queues.send(from, messages)
        expect(await words('export', from, path)).toMatchObject({ code: 0 })
        expect(await words('import', to, path)).toMatchObject({ code: 0 })
        const got = await app.queues.receive(to, { max: 256 })
        expect(got.map((m) => [[...m.body], m.key])).toEqual(messages.map((m) => [[...m.body], m.key]))
      }),
      { numRuns: 30 },
    )
  })
})
