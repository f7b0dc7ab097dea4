/** `consume` as programs call it: over HTTP and on the library's object, against a real broker. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ConsumeOptions, type Consumer, consume, type Handler } from '../src/client/client.js'
import { Stopped } from '../src/client/job.js'
import { startTestApp } from './support/broker.js'

let app: Awaited<ReturnType<typeof startTestApp>>
const started: Consumer[] = []
beforeEach(async () => {
  app = await startTestApp()
  await app.queues.put('work')
})
afterEach(async () => {
  for (const consumer of started.splice(0)) await consumer.stop({ within_ms: 0 })
  await app.close()
})

type Start = (handler: Handler, o?: ConsumeOptions) => Consumer
const doors: [string, Start][] = [
  ['over HTTP', (handler, o) => consume('work', handler, { url: `http://127.0.0.1:${app.httpPort}`, ...o })],
  ['in the same process', (handler, o) => app.consume('work', handler, o)],
]
const counts = () => {
  const { ready, leased, delayed } = app.queues.get('work').counts
  return { ready, leased, delayed }
}
const send = (...bodies: (string | Uint8Array)[]) =>
  app.queues.send(
    'work',
    bodies.map((body) => ({ body })),
  )

describe.each(doors)('consume %s', (_, start) => {
  const run: Start = (handler, o) => {
    const consumer = start(handler, o)
    started.push(consumer)
    return consumer
  }

  it('hands out every message once, with its bytes and all that is known of it', async () => {
    const bytes = Buffer.from([0, 255, 10])
    const bodies = Array.from({ length: 300 }, (_, i) => Buffer.from(`m${i}`))
    await app.queues.send('work', [{ body: bytes, key: 'k', priority: 1, topic: 'a/b' }])
    for (let i = 0; i < 300; i += 150) await send(...bodies.slice(i, i + 150))
    const got: Buffer[] = []
    let first: unknown
    const consumer = run(
      (message) => {
        first ??= message
        got.push(message.body)
      },
      { concurrency: 64, limit: 301 },
    )
    await consumer.ended
    expect(got.map(String).sort()).toEqual([bytes, ...bodies].map(String).sort())
    expect(first).toMatchObject({ key: 'k', priority: 1, topic: 'a/b', attempts: 1, body: bytes })
    expect((first as { id: string; receipt: string; leased_until: number }).leased_until).toBeGreaterThan(Date.now())
    expect(counts()).toEqual({ ready: 0, leased: 0, delayed: 0 })
    expect(consumer.counts).toMatchObject({ received: 301, acknowledged: 301, running: 0 })
  })

  it('runs no more handlers at once than it is told to, and as many', async () => {
    await send(...Array.from({ length: 40 }, (_, i) => String(i)))
    let running = 0
    let most = 0
    const handler = async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 2))
      running--
    }
    await run(handler, { concurrency: 5, limit: 40 }).ended
    expect(most).toBe(5)
  })

  it('waits for a message and gets it when it comes', async () => {
    const got = new Promise((resolve) => run(({ body }) => resolve(body.toString()), { wait_ms: 30_000 }))
    while (app.queues.get('work').receivers === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    await send('at last')
    expect(await got).toBe('at last')
  })

  it('keeps a message while its handler runs for longer than the lease', async () => {
    await send('long')
    let calls = 0
    const handler = async () => {
      calls++
      await new Promise((resolve) => setTimeout(resolve, 2_300))
    }
    const consumer = run(handler, { lease_ms: 1_000, concurrency: 4, limit: 1 })
    await consumer.ended
    expect(calls).toBe(1)
    expect(counts()).toEqual({ ready: 0, leased: 0, delayed: 0 })
    expect(consumer.counts).toMatchObject({ acknowledged: 1, lost: 0 })
  })

  it('gives back what failed, and hands it out again', async () => {
    await send('once more')
    const attempts: number[] = []
    const handler: Handler = (message) => {
      attempts.push(message.attempts)
      if (message.attempts < 3) throw new Error('not yet')
    }
    await run(handler, { retry_ms: 1, limit: 3, on_trouble: () => {} }).ended
    expect(attempts).toEqual([1, 2, 3])
    expect(counts()).toEqual({ ready: 0, leased: 0, delayed: 0 })
  })

  it('tells a handler whose message was taken away', async () => {
    await send('mine')
    const reason = new Promise((resolve) =>
      run(
        async ({ receipt }, { signal }) => {
          // Somebody else settles it with our receipt.
          await app.queues.nack('work', [receipt], 60_000)
          await new Promise<void>((done) => signal.addEventListener('abort', () => done()))
          resolve(signal.reason)
        },
        { lease_ms: 1_000, on_trouble: () => {} },
      ),
    )
    expect(await reason).toBeInstanceOf(Stopped)
    expect(counts()).toEqual({ ready: 0, leased: 0, delayed: 1 })
  })

  it('stops: what is not done in time is at once somebody else’s', async () => {
    await send('quick', 'slow')
    const aborted = new Promise((resolve) => {
      const consumer = run(
        async ({ body }, { signal }) => {
          if (String(body) === 'quick') return
          const end = new Promise<void>((done) => signal.addEventListener('abort', () => done()))
          void consumer.stop({ within_ms: 50 })
          await end
          resolve(signal.reason.code)
        },
        { concurrency: 2 },
      )
    })
    expect(await aborted).toBe('stopping')
    await Promise.all(started.map((consumer) => consumer.ended))
    expect(counts()).toEqual({ ready: 1, leased: 0, delayed: 0 })
    // A stop is no fault of the message, and no attempt.
    expect((await app.queues.receive('work'))[0]).toMatchObject({ attempts: 1, body: Buffer.from('slow') })
  })

  it('ends with the reason when there is no such queue, or no longer', async () => {
    const consumer = run(() => {}, { wait_ms: 100 })
    await app.queues.delete('work')
    await expect(consumer.ended).rejects.toMatchObject({ code: 'queue_not_found', message: 'There is no queue "work".' })
    await app.queues.put('work')
  })

  it('shares a queue with others: each message goes to one of them', async () => {
    await send(...Array.from({ length: 200 }, (_, i) => String(i)))
    const got: string[] = []
    const consumers = [1, 2, 3].map(() => run(({ body }) => void got.push(String(body)), { concurrency: 4, idle_ms: 50 }))
    await Promise.all(consumers.map((consumer) => consumer.ended))
    expect(got.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })
})

describe('a broker that closes', () => {
  it('stops its own consumers first, and what they held is there at the next start', async () => {
    const other = await startTestApp()
    await other.queues.put('q')
    await other.queues.send('q', [{ body: 'x' }])
    let reason: unknown
    const handling = new Promise<void>((resolve) => {
      other.consume('q', async (_, { signal }) => {
        resolve()
        await new Promise<void>((done) => signal.addEventListener('abort', () => done()))
        reason = signal.reason
      })
    })
    await handling
    await other.close()
    expect(reason).toMatchObject({ code: 'stopping' })
  })
})

describe('a consumer that ends', () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const node = (code: string) => ['--import=tsx', '--input-type=module', '--eval', code]

  it('ends a process that listens to nobody with the reason, and leaves one alone that does', () => {
    const deaf = spawnSync(process.execPath, node(`import { consume } from './src/client/client.ts'; consume('..', () => {})`), {
      cwd: root,
      encoding: 'utf8',
    })
    expect(deaf.status).toBe(1)
    expect(deaf.stderr).toContain('cannot be part of an address')
    const told = spawnSync(
      process.execPath,
      node(
        `import { consume } from './src/client/client.ts'; consume('..', () => {}, { on_trouble: (e) => console.log(e.code) })`,
      ),
      { cwd: root, encoding: 'utf8' },
    )
    expect(told).toMatchObject({ status: 0, stdout: 'name_invalid\n' })
  })
})
