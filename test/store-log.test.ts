/** The packed log over time: what is kept, what goes, what is said when something is missing. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../src/core/clock.js'
import { EXTENT_SEQUENCES } from '../src/core/limits.js'
import { type Log, silentLog } from '../src/core/log.js'
import { type Engine, openEngine } from '../src/queue/engine.js'
import type { PlainQueue } from '../src/queue/plain.js'
import type { SessionQueue } from '../src/queue/queue.js'
import type { Row } from '../src/store/disk.js'
import { commitRowKey } from '../src/store/keys.js'
import { MemoryDisk } from '../src/store/memory.js'
import { openStore, type Store } from '../src/store/store.js'
import { CutDisk } from './support/cut-disk.js'
import { message, NO_LIMITS, type Opened, openOn, payloadOf, rowsOf, turn } from './support/store.js'

const make = (engine: Engine, name: string): PlainQueue =>
  (engine.byName('session', name) ??
    engine.createQueue({ name, kind: 'session', limits: NO_LIMITS, durable: true })) as PlainQueue

function give(engine: Engine, queues: SessionQueue[], payload: string | Buffer): void {
  engine.begin(message(payload))
  for (const queue of queues) engine.append(queue, 1)
}

async function drain(queue: SessionQueue, engine: Engine, count = Number.POSITIVE_INFINITY): Promise<string[]> {
  const got: string[] = []
  while (got.length < count) {
    const entry = queue.lease()
    if (entry === undefined) {
      await engine.idle()
      if (!queue.hasReady) break
      continue
    }
    if (queue.read(entry) === undefined) await queue.load(entry)
    got.push(payloadOf(queue.read(entry)))
    queue.ack(entry)
  }
  return got
}

async function checkpoint({ store }: Opened): Promise<void> {
  store.messages.checkpoint.request()
  await store.journal.flush()
}

async function close({ store, engine }: { store: Store; engine: Engine }): Promise<void> {
  await engine.close()
  await store.close()
}

describe('the packed log', () => {
  test('stores a message once, however many queues took it', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const queues = Array.from({ length: 50 }, (_, i) => make(o.engine, `s${i}`))
    give(o.engine, queues, 'x'.repeat(5_000))
    await o.store.journal.flush()
    const bytes = (await rowsOf(disk, 'M')).reduce((n, row) => n + row.value.length, 0)
    expect(bytes).toBeLessThan(5_200)
    for (const queue of queues) expect((await drain(queue, o.engine))[0].length).toBe(5_000)
    await close(o)
  })

  test('a checkpoint writes heads, and drops the commit rows and the extents that nobody needs', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    const b = make(o.engine, 'b')
    for (let i = 0; i < EXTENT_SEQUENCES; i++) give(o.engine, [a], `${i}`)
    give(o.engine, [a, b], 'last')
    await o.store.journal.flush()
    expect((await drain(a, o.engine)).length).toBe(EXTENT_SEQUENCES + 1)
    await o.store.journal.flush()
    expect((await rowsOf(disk, 'M')).length).toBeGreaterThan(1)
    await checkpoint(o)
    // The first extent has gone, the second has the one message that `b` still needs.
    expect((await rowsOf(disk, 'M')).length).toBe(1)
    expect((await rowsOf(disk, 'E')).length).toBe(1)
    expect((await rowsOf(disk, 'A')).length).toBe(1)
    expect((await rowsOf(disk, 'H')).length).toBe(2)
    await close(o)
    const again = await openOn(new CutDisk(disk.rows))
    expect(make(again.engine, 'a').counts().ready).toBe(0)
    expect(make(again.engine, 'a').nextIndex).toBe(EXTENT_SEQUENCES + 1)
    expect(await drain(make(again.engine, 'b'), again.engine)).toEqual(['last'])
    await close(again)
  })

  test('indexes and sequences are never used again, over any restart', async () => {
    const disk = new CutDisk()
    let seen = -1
    let seq = 0
    for (let round = 0; round < 4; round++) {
      const o = await openOn(new CutDisk(disk.rows))
      const a = make(o.engine, 'a')
      for (let i = 0; i < 3; i++) give(o.engine, [a], 'x')
      await o.store.journal.flush()
      for (let i = 0; i < 3; i++) {
        const entry = a.lease()
        if (entry === undefined) throw new Error('nothing to lease')
        expect(entry.index).toBe(seen + 1)
        expect(entry.seq).toBeGreaterThan(seq)
        seen = entry.index
        seq = entry.seq
        a.ack(entry)
      }
      if (round % 2 === 0) await close(o)
      else await o.store.journal.flush()
    }
  })

  test('an extent that a restart finds dead goes, and takes nothing with it that came later', async () => {
    const disk = new CutDisk()
    const first = await openOn(disk)
    give(first.engine, [make(first.engine, 'a')], 'old')
    await first.store.journal.flush()
    await drain(make(first.engine, 'a'), first.engine)
    await first.store.journal.flush()
    disk.cut(false)
    const o = await openOn(new CutDisk(disk.rows))
    const a = make(o.engine, 'a')
    give(o.engine, [a], 'new')
    await o.store.journal.flush()
    await drain(a, o.engine)
    await checkpoint(o)
    give(o.engine, [a], 'newer')
    await o.store.journal.flush()
    await checkpoint(o)
    // Of the second extent, the one that grows: both rows; of the first none.
    expect((await rowsOf(disk, 'E')).length).toBe(2)
    expect([...o.store.messages.extents.all()].map((e) => [e.id, e.live])).toEqual([[1, 1]])
    expect(await drain(a, o.engine)).toEqual(['newer'])
    await close(o)
  })

  test('the rows of an extent that nobody needs go in slices, also those that a crash left', async () => {
    const disk = new CutDisk()
    const first = await openOn(disk)
    for (let i = 0; i < 400; i++) {
      give(first.engine, [make(first.engine, 'a')], `${i}`)
      await first.store.journal.flush()
    }
    await close(first)
    const second = new CutDisk(disk.rows)
    const o = await openOn(second)
    expect((await drain(make(o.engine, 'a'), o.engine)).length).toBe(400)
    await checkpoint(o)
    const left = async (): Promise<number[]> => Promise.all(['M', 'E'].map(async (kind) => (await rowsOf(disk, kind)).length))
    expect(await left()).toEqual([400 - 128, 400 - 128])
    second.cut(false)
    const again = await openOn(new CutDisk(disk.rows))
    const a = make(again.engine, 'a')
    expect(a.counts().ready).toBe(0)
    await checkpoint(again)
    for (let rows = 400 - 128 - 128; rows > 0; rows -= 128) {
      expect(await left()).toEqual([rows, rows])
      // Whatever is committed next takes more of them with it.
      again.store.journal.request()
      await again.store.journal.flush()
    }
    expect(await left()).toEqual([0, 0])
    give(again.engine, [a], 'new')
    await again.store.journal.flush()
    expect(await drain(a, again.engine)).toEqual(['new'])
    await close(again)
  })

  test('a queue that is purged between two copies of one message keeps its own', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    const b = make(o.engine, 'b')
    give(o.engine, [a, b], 'before')
    o.engine.begin(message('after'))
    o.engine.append(a, 1)
    b.purge()
    o.engine.append(b, 1)
    await o.store.journal.flush()
    disk.cut(false)
    const again = await openOn(new CutDisk(disk.rows))
    expect(await drain(make(again.engine, 'b'), again.engine)).toEqual(['after'])
    expect(await drain(make(again.engine, 'a'), again.engine)).toEqual(['before', 'after'])
    await close(again)
  })

  test('an idle store is tidied up once and then not written to', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    give(o.engine, [make(o.engine, 'a')], 'x')
    await o.store.journal.flush()
    const before = disk.writes
    for (let i = 0; i < 30; i++) {
      o.clock.advance(1_000)
      await o.store.journal.flush()
    }
    expect(disk.writes).toBe(before + 1)
    await close(o)
    // Nothing changed since: closing writes nothing either.
    expect(disk.writes).toBe(before + 1)
  })

  test('large messages close their extent early, so that they can go', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    for (let i = 0; i < 12; i++) give(o.engine, [a], Buffer.alloc(1_000_000))
    await o.store.journal.flush()
    await drain(a, o.engine, 11)
    await checkpoint(o)
    const kept = (await rowsOf(disk, 'M')).reduce((n, row) => n + row.value.length, 0)
    expect(kept).toBeLessThan(6_000_000)
    await close(o)
  })

  test('freed rows are compacted in the background, over the range that is dead', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    for (let i = 0; i < 15; i++) give(o.engine, [a], Buffer.alloc(1_000_000))
    await o.store.journal.flush()
    await drain(a, o.engine)
    await checkpoint(o)
    await o.store.messages.checkpoint.quiet()
    expect(disk.compacted.map((r) => r.gte.toString('latin1', 0, 1))).toEqual(['M', 'E'])
    await close(o)
  })

  test('LevelDB gives the space back', async () => {
    const path = await mkdtemp(join(tmpdir(), 'aqueduct-log-'))
    const store = await openStore({ path, durability: 'os', min_free_bytes: 0, max_bytes: 0, clock: systemClock, log: silentLog })
    const engine = await openEngine({ store, clock: systemClock, log: silentLog })
    const a = make(engine, 'a')
    // Bytes that do not compress.
    const noise = Buffer.alloc(200_000)
    let x = 1
    for (let i = 0; i < noise.length; i++) {
      x = (Math.imul(x, 1_103_515_245) + 12_345) & 0x7fff_ffff
      noise[i] = x >>> 16
    }
    for (let i = 0; i < 200; i++) {
      give(engine, [a], noise)
      if (i % 20 === 19) await store.journal.flush()
    }
    const used = async (): Promise<number> => {
      let n = 0
      for (const name of await readdir(join(path, 'level')))
        n += (await stat(join(path, 'level', name)).catch(() => ({ size: 0 }))).size
      return n
    }
    const full = await used()
    await drain(a, engine)
    store.messages.checkpoint.request()
    await store.journal.flush()
    await store.messages.checkpoint.quiet()
    expect(full).toBeGreaterThan(35_000_000)
    expect(await used()).toBeLessThan(15_000_000)
    await close({ store, engine })
    await rm(path, { recursive: true })
  })

  test('a commit that is missing between two others is said, and the rest is there', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    const groups: number[] = []
    for (let i = 0; i < 5; i++) {
      give(o.engine, [a], `${i}`)
      groups.push(o.store.journal.openGroup)
      await o.store.journal.flush()
    }
    await disk.rows.write([{ type: 'del', key: commitRowKey(groups[2]) }], true)
    const said: string[] = []
    const log: Log = { ...silentLog, error: (_fields, text) => said.push(text) }
    const again = await openOn(new CutDisk(disk.rows), { log })
    expect(said).toEqual([
      'commits are missing from the store; what they held is lost, and messages that they acknowledged may be delivered again',
    ])
    expect(again.store.missingCommits).toBe(1)
    expect(make(again.engine, 'a').counts().ready).toBe(5)
    await close(again)
  })
})

describe('tidying', () => {
  test('an extent that one stuck queue pins shrinks to what that queue needs', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const busy = make(o.engine, 'busy')
    const stuck = make(o.engine, 'stuck')
    const kept: string[] = []
    for (let i = 0; i < EXTENT_SEQUENCES * 2; i++) {
      const wanted = i % 100 === 7
      if (wanted) kept.push(`${i}`)
      give(o.engine, wanted ? [busy, stuck] : [busy], `${i}`)
    }
    await o.store.journal.flush()
    await drain(busy, o.engine)
    await checkpoint(o)
    const bytes = async (): Promise<number> => (await rowsOf(disk, 'M')).reduce((n, row) => n + row.value.length, 0)
    const before = await bytes()
    await o.store.messages.tidier.run(2)
    expect(await bytes()).toBeLessThan(before / 20)
    expect(await drain(stuck, o.engine, 3)).toEqual(kept.slice(0, 3))
    await close(o)
    const again = await openOn(new CutDisk(disk.rows))
    expect(await drain(make(again.engine, 'stuck'), again.engine)).toEqual(kept.slice(3))
    await close(again)
  })

  test('rows of one message each are merged, and nothing is lost or doubled', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk, { ringEntriesMax: 64 })
    const queues = [make(o.engine, 'a'), make(o.engine, 'b')]
    const given: string[][] = [[], []]
    for (let i = 0; i < 300; i++) {
      give(o.engine, [queues[i % 2]], `${i}`)
      given[i % 2].push(`${i}`)
      await o.store.journal.flush()
    }
    expect((await rowsOf(disk, 'E')).length).toBe(300)
    await o.store.messages.tidier.run(1)
    expect((await rowsOf(disk, 'E')).length).toBe(1)
    expect((await rowsOf(disk, 'M')).length).toBe(1)
    expect(await drain(queues[0], o.engine)).toEqual(given[0])
    await close(o)
    const again = await openOn(new CutDisk(disk.rows), { ringEntriesMax: 64 })
    expect(await drain(make(again.engine, 'b'), again.engine)).toEqual(given[1])
    await close(again)
  })

  test('a read that fails in the middle leaves nothing behind for the next extent', async () => {
    const disk = new CutDisk()
    const given: string[] = []
    // Two extents of small rows: after a start the log goes on in a fresh one.
    for (let extent = 0; extent < 2; extent++) {
      const o = await openOn(new CutDisk(disk.rows))
      for (let i = 0; i < 40; i++) {
        given.push(`${extent}.${i}`)
        give(o.engine, [make(o.engine, 'a')], `${extent}.${i}`)
        await o.store.journal.flush()
      }
      await close(o)
    }
    const failing = new CutDisk(disk.rows)
    const again = await openOn(failing)
    const scan = failing.scan.bind(failing)
    failing.scan = async function* (range, options) {
      let n = 0
      for await (const row of scan(range, options)) {
        if (range.gte.toString('latin1', 0, 1) === 'M' && ++n === 20) throw new Error('unreadable for a moment')
        yield row
      }
    }
    await again.store.messages.tidier.run(9)
    expect((await rowsOf(disk, 'E')).length).toBe(80)
    failing.scan = scan
    await again.store.messages.tidier.run(9)
    expect((await rowsOf(disk, 'E')).length).toBe(41)
    await close(again)
    const last = await openOn(new CutDisk(disk.rows))
    expect(await drain(make(last.engine, 'a'), last.engine)).toEqual(given)
    await close(last)
  })

  test('a row that is merged while it is being read is read as it is then', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    for (let i = 0; i < 40; i++) {
      give(o.engine, [a], `${i}`)
      await o.store.journal.flush()
    }
    await close(o)
    const held = new CutDisk(disk.rows)
    const again = await openOn(held)
    let letGo = (): void => {}
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const scan = held.scan.bind(held)
    let reads = 0
    held.scan = async function* (range, options) {
      const rows: Row[] = []
      for await (const row of scan(range, options)) rows.push(row)
      // The reader's own: the tidier's comes behind it.
      if (range.gte.toString('latin1', 0, 1) === 'M' && reads++ === 0) await gate
      yield* rows
    }
    const loading = again.store.messages.load(1)
    await turn()
    await again.store.messages.tidier.run(1)
    letGo()
    await loading
    expect((await rowsOf(disk, 'M')).length).toBe(1)
    expect(await drain(make(again.engine, 'a'), again.engine)).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`))
    await close(again)
  })

  test('nothing is left out while somebody else holds messages of the extent', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk)
    const a = make(o.engine, 'a')
    for (let i = 0; i < 50; i++) give(o.engine, [a], `${i}`)
    o.store.messages.retain(10)
    await o.store.journal.flush()
    await drain(a, o.engine, 49)
    await o.store.messages.tidier.run(1, true)
    await o.store.messages.load(10)
    expect(payloadOf(o.store.messages.read(10))).toBe('9')
    await close(o)
  })
})

describe('depth', () => {
  test('100,000 messages in 100 deep queues page in in order, before and after a restart', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk, { ringEntriesMax: 128 })
    const queues = Array.from({ length: 100 }, (_, i) => make(o.engine, `q${i}`))
    for (let i = 0; i < 100_000; i++) {
      give(o.engine, [queues[i % 100]], `${i}`)
      if (i % 2_000 === 1_999) await o.store.journal.flush()
    }
    for (const [n, queue] of queues.entries()) {
      const got = await drain(queue, o.engine, 500)
      expect(got).toEqual(Array.from({ length: 500 }, (_, i) => `${i * 100 + n}`))
    }
    await o.store.journal.flush()
    void o.engine.close()
    disk.cut(false)
    const again = await openOn(new CutDisk(disk.rows), { ringEntriesMax: 128 })
    for (let n = 0; n < 100; n++) {
      const queue = make(again.engine, `q${n}`)
      expect(queue.counts().ready).toBe(500)
      expect(await drain(queue, again.engine)).toEqual(Array.from({ length: 500 }, (_, i) => `${(i + 500) * 100 + n}`))
    }
    await again.engine.idle()
    await again.store.journal.flush()
    // Index pages go with what they index.
    expect((await rowsOf(disk, 'I')).length).toBe(0)
    await close(again)
  }, 60_000)

  test('a consumer that waits for the next page is told when it is in', async () => {
    const disk = new CutDisk()
    const o = await openOn(disk, { ringEntriesMax: 8 })
    const a = make(o.engine, 'a')
    for (let i = 0; i < 100; i++) give(o.engine, [a], `${i}`)
    await o.store.journal.flush()
    let got = 0
    let told = 0
    const take = (): void => {
      for (let e = a.lease(); e !== undefined; e = a.lease()) {
        a.ack(e)
        got++
      }
    }
    a.onReady = () => {
      told++
      take()
    }
    take()
    expect(got).toBeLessThan(100)
    while (got < 100 && told < 200) {
      const before = told
      await o.engine.idle()
      if (told === before) break
    }
    expect(got).toBe(100)
    await close(o)
  })

  test('a consumer that keeps up with its publisher from behind gets everything once, in order', async () => {
    const o = await openOn(new CutDisk(new MemoryDisk()), { ringEntriesMax: 32 })
    const a = make(o.engine, 'a')
    let sent = 0
    const got: string[] = []
    for (let i = 0; i < 200; i++) give(o.engine, [a], `${sent++}`)
    for (let round = 0; round < 300; round++) {
      for (let i = 0; i < 7; i++) give(o.engine, [a], `${sent++}`)
      got.push(...(await drain(a, o.engine, 8)))
    }
    await o.store.journal.flush()
    got.push(...(await drain(a, o.engine)))
    expect(got).toEqual(Array.from({ length: sent }, (_, i) => `${i}`))
    await close(o)
  })
})
