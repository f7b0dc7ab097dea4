/** The benchmark itself works: its C compiles without warnings, its figures add up, its verdicts can be bad. Nothing is timed. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildTools, findCompiler, type Tools } from './bench/build.js'
import { LoadResult, problemOf, type Run } from './bench/measure.js'
import { makeTable, median, verdict } from './bench/table.js'
import { measuredCount, WORKLOADS, type Workload } from './bench/workloads.js'
import { startTestApp } from './support/broker.js'

const execute = promisify(execFile)

function workload(name: string): Workload {
  const found = WORKLOADS.find((w) => w.name === name)
  if (found === undefined) throw new Error(`no workload ${name}`)
  return found
}

/**
 * Just enough of a server for the load generator: accepts, grants, acknowledges QoS 1, sends each PUBLISH to all subscribers.
 * `drop` loses every message whose running number it divides.
 */
function tinyServer(drop = 0): Server {
  const subscribers = new Set<Socket>()
  let published = 0
  return createServer((socket) => {
    let rest = Buffer.alloc(0)
    socket.on('error', () => socket.destroy()).on('close', () => subscribers.delete(socket))
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 2 && rest.length >= 2 + (rest[1] ?? 0)) {
        const size = 2 + (rest[1] ?? 0) // every packet of this test is shorter than 128 bytes
        const packet = rest.subarray(0, size)
        rest = rest.subarray(size)
        const type = (packet[0] ?? 0) >> 4
        if (type === 1) socket.write(Buffer.from([0x20, 2, 0, 0]))
        if (type === 8) {
          subscribers.add(socket)
          socket.write(Buffer.from([0x90, 3, packet[2] ?? 0, packet[3] ?? 0, 1]))
        }
        if (type === 3) {
          const id = 4 + packet.readUInt16BE(2)
          socket.write(Buffer.from([0x40, 2, packet[id] ?? 0, packet[id + 1] ?? 0]))
          published++
          if (drop === 0 || published % drop !== 0) for (const subscriber of subscribers) subscriber.write(packet)
        }
        if (type === 14) socket.end()
      }
    })
  })
}
async function load(tools: Tools, server: Server, args: string): Promise<{ code: number | null; result: LoadResult }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(tools.mqload, [
        ...args.split(' '),
        '-p',
        String(port),
        '--pid',
        String(process.pid),
        '--settle',
        '0',
        '--no-spin',
      ])
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
      child.once('error', reject)
      child.once('close', (code) => {
        try {
          resolve({ code, result: LoadResult.parse(JSON.parse(text)) })
        } catch (error) {
          reject(error)
        }
      })
    })
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

describe.runIf(process.platform === 'linux')('the load generator', () => {
  let tools: Tools | undefined
  let dir = ''
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'bench-smoke-'))
    if (findCompiler() !== undefined) tools = buildTools(dir)
  }, 60_000)
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  it('counts what a server acknowledged', async (context) => {
    if (tools === undefined) return context.skip('no C compiler here')
    const { code, result } = await load(tools, tinyServer(), 'pub -c 2 -n 200 -w 10')
    expect(code).toBe(0)
    expect(problemOf(result)).toBeUndefined()
    expect(result.run?.messages).toBe(400)
    expect(result.run?.ack_us?.n).toBe(400)
    const lat = result.run?.ack_us
    expect(lat && 0 < lat.p50 && lat.p50 <= lat.p99 && lat.p99 <= lat.p99_6 && lat.p99_996 <= lat.max).toBe(true)
    expect(result.run?.cpu_us).toBeGreaterThan(0)
    expect(result.run?.rss1_mib).toBeGreaterThan(1)
  })

  it('measures from the scheduled time in an open loop', async (context) => {
    if (tools === undefined) return context.skip('no C compiler here')
    const { code, result } = await load(tools, tinyServer(), 'fan -c 2 -s 2 -N 1 -n 50 -r 1000 -w 1000')
    expect(code).toBe(0)
    expect(result.run?.messages).toBe(200) // two subscribers
    expect(result.run?.e2e_us?.n).toBe(200)
    expect(result.run?.slip_us?.n).toBe(100)
    expect(result.run?.secs).toBeGreaterThanOrEqual(0.098) // the last of 100 messages is due after 99 ms
  })

  it('finds a lost message, and exits 1', async (context) => {
    if (tools === undefined) return context.skip('no C compiler here')
    const { code, result } = await load(tools, tinyServer(50), 'fan -n 100 -w 200 --stall 0.3')
    expect(code).toBe(1)
    expect(result.lost).toBe(2)
    expect(problemOf(result)).toBe('lost 2')
  })

  it('exits 1 when nobody listens and 2 on bad arguments', (context) => {
    if (tools === undefined) return context.skip('no C compiler here')
    const { mqload } = tools
    const status = (args: string[]): unknown => {
      try {
        execFileSync(mqload, args, { stdio: 'ignore' })
        return 0
      } catch (error) {
        return error instanceof Error && 'status' in error ? error.status : error
      }
    }
    expect(status(['pub', '-p', '1', '--max-s', '1'])).toBe(1)
    expect(status(['pub', '-c', 'many'])).toBe(2)
    expect(status(['nonsense'])).toBe(2)
  })

  it('sends to a queue, receives and acknowledges, alone and in batches', async (context) => {
    if (tools === undefined) return context.skip('no C compiler here')
    const app = await startTestApp()
    try {
      const { qload } = tools
      const take = async (...args: string[]): Promise<LoadResult> => {
        const { stdout } = await execute(qload, ['http', '-p', String(app.httpPort), '-c', '3', '--settle', '0', ...args])
        return LoadResult.parse(JSON.parse(stdout))
      }
      for (const result of [await take('-n', '50'), await take('-n', '70', '-b', '16', '--fill', '40')]) {
        expect(problemOf(result)).toBeUndefined()
        expect(result.in?.messages).toBe(result.out?.messages)
      }
      const left = await take('-n', '5')
      expect([left.in?.messages, left.out?.messages]).toEqual([5, 5])
      const seen = (await (await fetch(`http://127.0.0.1:${app.httpPort}/v1/queues/bench`)).json()) as {
        counts: { ready: number }
      }
      expect(seen.counts.ready).toBe(40)
    } finally {
      await app.close()
    }
  })

  it('makes appends durable on the bare disk', (context) => {
    if (tools === undefined) return context.skip('no C compiler here')
    const probe = LoadResult.parse(JSON.parse(execFileSync(tools.disk, ['probe', dir, '20'], { encoding: 'utf8' })))
    expect(probe.fdatasyncs).toBe(20)
    const open = LoadResult.parse(JSON.parse(execFileSync(tools.disk, ['open', dir, '2000', '100', '128'], { encoding: 'utf8' })))
    expect(open.ack_us?.n).toBe(100)
    expect(open.fdatasyncs).toBeLessThanOrEqual(100)
  })
})

describe('the table', () => {
  const phase = (cpu_us: number) => ({ messages: 1, secs: 1, per_s: 1000 / cpu_us, cpu_us, rss1_mib: 50 })
  const run = (work: string, peer: string, round: number, result: Record<string, unknown>): Run => ({
    ...{ work, peer, round, wall_s: 1, foreign_cpus: 0, stolen_cpus: 0 },
    result: LoadResult.parse({ mode: 'pub', ...result }),
  })
  const lat = (p99_6: number, p99_996: number) => ({
    ack_us: { n: 9, p50: 1, p99: 2, p99_6, p99_996, max: 9e9, under_1ms: 99.6, under_10ms: 99.996 },
  })

  it('takes the middle', () => {
    expect(median([])).toBeUndefined()
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })

  it('holds ours against mosquitto, warm-up left out', () => {
    const w = workload('pub1')
    const row = w.rows[0]!
    const runs = [0, 1, 2, 3].flatMap((round) => [
      run('pub1', 'ours', round, { run: phase(round === 0 ? 99 : round) }),
      run('pub1', 'mosquitto', round, { run: phase(25) }),
    ])
    expect(verdict(runs, w, row, 'ours')).toEqual({ text: '0.080; bar 0.1', met: true })
    const slower = runs.map((r) => (r.peer === 'mosquitto' ? run('pub1', 'mosquitto', r.round, { run: phase(10) }) : r))
    expect(verdict(slower, w, row, 'ours')).toEqual({ text: '0.200; bar 0.1', met: false })
    expect(makeTable(slower, [w]).missed).toEqual(['pub1 (ours): 0.200; bar 0.1'])
    expect(makeTable(slower, [w]).markdown).toMatch(
      /\| pub1 +\| ours +\| +500 \| +2\.00 \(1\.00–3\.00\) .* 0\.200; bar 0\.1 ✗ \| +3 \|/,
    )
    expect(verdict([run('pub1', 'ours', 1, { run: phase(1) })], w, row, 'ours')).toBeUndefined()
  })

  it('holds the tail of a flushed write against the disk, of an unflushed one against echo', () => {
    const w = workload('write1000')
    const row = w.rows[0]!
    const runs = [
      run('write1000', 'ours', 1, { mode: 'session', in: { ...phase(9), ...lat(1400, 3000) } }),
      run('write1000', 'ours-os', 1, { mode: 'session', in: { ...phase(9), ...lat(500, 700) } }),
      run('write1000', 'disk', 1, { mode: 'disk', ...lat(1000, 2000) }),
      run('write1000', 'echo', 1, { mode: 'echo', run: { ...phase(9), ...lat(500, 500) } }),
    ]
    expect(verdict(runs, w, row, 'ours')).toEqual({ text: 'p99.6 1.40, p99.996 1.50 × disk; bar 1.5', met: true })
    expect(verdict(runs, w, row, 'ours-os')).toEqual({ text: 'p99.6 1.00, p99.996 1.40 × echo; bar 1.2', met: false })
    expect(verdict(runs, w, row, 'mosquitto')).toBeUndefined()
  })

  it('holds the rate of a queue against its bar, and a deep one against a shallow one', () => {
    const queue = (work: string, per_s: number): Run =>
      run(work, 'ours', 1, { mode: 'queue', in: { ...phase(9), per_s }, out: { ...phase(9), per_s } })
    const runs = [queue('queue1', 2_599), queue('queue16', 20_000), queue('queue16deep', 18_000)]
    const of = (name: string) => verdict(runs, workload(name), workload(name).rows[0]!, 'ours')
    expect(of('queue1')).toEqual({ text: '2,599/s; bar 2,600/s', met: false })
    expect(of('queue16')).toEqual({ text: '20,000/s; bar 10,000/s', met: true })
    expect(of('queue16deep')).toEqual({ text: '0.900 × queue16 in; bar 0.9', met: true })
  })

  it('shows a failed run as failed', () => {
    const failed: Run = { ...run('pub1', 'ours', 1, { run: phase(1) }), problem: 'lost 1' }
    expect(makeTable([failed], [workload('pub1')]).markdown).toContain('1, 1 FAILED')
  })

  it('stretches a closed loop to about a second, never an open one', () => {
    expect(measuredCount(workload('pub1'), 0.1, 1)).toBe(100_000)
    expect(measuredCount(workload('pub1'), 0.0001, 1)).toBe(400_000)
    expect(measuredCount(workload('pub1'), 100, 1)).toBe(1_000)
    expect(measuredCount(workload('write1000'), 77, 1)).toBe(1_300)
    expect(measuredCount(workload('idle'), 1, 1)).toBe(0)
  })
})
