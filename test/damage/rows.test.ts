/** Bits of rows that have changed on the disk: nothing altered comes out, the rest does, and what is missing is counted and named. */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { AqueductError } from '../../src/core/errors.js'
import type { Row } from '../../src/store/disk.js'
import { rowKind } from '../../src/store/keys.js'
import { build, type Folder, type Served, serve } from './folder.js'

let folder: Folder
let whole: Served
beforeAll(async () => {
  folder = await build()
  whole = await serve(folder, folder.rows)
}, 30_000)

/** Lines that `a` has more often than `b`. */
function beyond(a: readonly string[], b: readonly string[]): string[] {
  const left = [...b]
  return a.filter((line) => {
    const i = left.indexOf(line)
    if (i >= 0) left.splice(i, 1)
    return i < 0
  })
}

/** What may come out: each message in its place, acknowledged ones too, since what says that they were may be damaged. */
const mayCome = (place: string): RegExp =>
  ({
    dev: /^m\/(\d) (message \d+|half)$/,
    shared: /^m\/(\d) (message \d+|half)$/,
    half: /^$/,
    retained: /^r\/(\d) retained \1$/,
    keyed: /^(message \d+|half)$/,
    pull: /^pulled \d+$/,
    latest: /^latest [45]$/,
    will: /^w\/will the will$/,
  })[place] as RegExp

interface Flip {
  readonly row: number
  readonly inKey: boolean
  readonly at: number
  readonly mask: number
}

function flipped(rows: readonly Row[], flips: readonly Flip[]): Row[] {
  const out = rows.map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) }))
  for (const { row, inKey, at, mask } of flips) {
    const { key, value } = out[row % out.length]
    const bytes = inKey ? key : value
    if (bytes.length > 0) bytes[at % bytes.length] ^= mask
  }
  return out
}

/** Serves damaged rows; a start that is refused says why. */
async function served(rows: readonly Row[]): Promise<Served | undefined> {
  try {
    return await serve(folder, rows)
  } catch (error) {
    expect(error).toBeInstanceOf(AqueductError)
    expect((error as AqueductError).code).toMatch(/^store_(damaged|version)$/)
    expect((error as Error).message).toMatch(/store\.path|schema/)
    return undefined
  }
}

function check(s: Served): void {
  const said = s.lines.filter(({ level }) => level !== 'info').length
  for (const [place, lines] of Object.entries(s.outcome)) {
    for (const line of lines) expect(line, place).toMatch(mayCome(place))
    const lost = beyond(whole.outcome[place], lines)
    const more = beyond(lines, whole.outcome[place])
    if (lost.length + more.length > 0) expect(said, `${place} lacks ${lost} and has ${more}`).toBeGreaterThan(0)
  }
}

test('the folder has rows of every kind but one, and all that is in it comes out', () => {
  const kinds = new Set(folder.rows.map(({ key }) => rowKind(key)))
  expect(kinds.size).toBe(18)
  expect(Object.values(whole.outcome).map((lines) => lines.length)).toEqual([31, 41, 0, 5, 41, 10, 2, 1])
  expect([whole.damaged, whole.damagedRows.size]).toEqual([{ session: 0, group: 0, pull: 0, dead: 0, internal: 0 }, 0])
  expect(whole.lines.filter(({ level }) => level !== 'info')).toEqual([])
})

describe('any byte of any row changed', () => {
  const flip = fc.record({ row: fc.nat(), inKey: fc.boolean(), at: fc.nat(), mask: fc.integer({ min: 1, max: 255 }) })

  test('a few at a time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 4 }), async (flips) => {
        const s = await served(flipped(folder.rows, flips))
        if (s !== undefined) check(s)
      }),
      { numRuns: Number(process.env.DAMAGE_RUNS ?? 60) },
    )
  }, 600_000)
})

describe('one row of a kind damaged', () => {
  /** Rows of one kind, in order of key. */
  const of = (kind: string): number[] => [...folder.rows.keys()].filter((i) => rowKind(folder.rows[i].key) === kind)
  const keyed = (hex: string): number => folder.rows.findIndex(({ key }) => key.toString('hex') === hex)
  const value = (row: number): Row[] => flipped(folder.rows, [{ row, inKey: false, at: 9, mask: 16 }])
  const without = (...rows: number[]): Row[] => folder.rows.filter((_, i) => !rows.includes(i))
  const lacks = (s: Served, place: string): string[] => beyond(whole.outcome[place], s.outcome[place])
  const more = (s: Served, place: string): string[] => beyond(s.outcome[place], whole.outcome[place])
  const said = (s: Served, text: RegExp): object[] => s.lines.filter((l) => text.test(l.text)).map(({ fields }) => fields)
  /** All but these places are as they were. */
  const only = (s: Served, ...places: string[]): void => {
    for (const place of Object.keys(whole.outcome)) {
      if (!places.includes(place)) expect(ordered(s, place), place).toEqual(ordered(whole, place))
    }
  }
  /** Of what comes due in one moment the order is nobody's promise. */
  const ordered = (s: Served, place: string): string[] => (place === 'pull' ? [...s.outcome[place]].sort() : s.outcome[place])
  const LOST = /damaged or missing in the store: they are lost/

  test('M: each entry of it leaves its queue as damaged, whatever the kind, and the rest is served', async () => {
    const row = of('message')[20]
    for (const rows of [value(row), without(row)]) {
      const s = await serve(folder, rows)
      only(s, 'dev', 'shared', 'keyed')
      const place = Number(folder.rows[row].key.readUIntBE(1, 6))
      expect(place).toBeGreaterThan(0)
      expect([lacks(s, 'dev').length, lacks(s, 'shared').length, lacks(s, 'keyed').length]).toEqual([1, 1, 1])
      expect(s.damaged).toEqual({ session: 1, group: 1, pull: 1, dead: 0, internal: 0 })
      expect(said(s, LOST)).toEqual([
        { queue: 'dev', kind: 'session', messages: 1 },
        { queue: 'group/m/#', kind: 'group', messages: 1 },
        { queue: 'keyed', kind: 'pull', messages: 1 },
      ])
    }
    expect((await serve(folder, value(row))).damagedRows).toEqual(new Map([['message', 1]]))
  })

  test('E: the queues that miss an entry are named with how many; an ordered queue needs none of it', async () => {
    const row = of('entry')[20]
    for (const rows of [value(row), without(row)]) {
      const s = await serve(folder, rows)
      only(s, 'dev', 'shared')
      expect([lacks(s, 'dev').length, lacks(s, 'shared').length]).toEqual([1, 1])
      expect(said(s, LOST).length).toBe(2)
      expect(s.damaged).toMatchObject({ session: 1, group: 1 })
    }
  })

  test('E: the newest, which nothing else counts, is said by its sequence', async () => {
    const s = await serve(folder, without(of('entry').at(-1) as number))
    const at = folder.rows[of('entry').at(-1) as number].key.readUIntBE(1, 6)
    expect(said(s, /messages of the last commit are missing/)).toEqual([{ from: at, to: at }])
  })

  test('A: the commits are said, and what they acknowledged comes again with DUP', async () => {
    const rows = of('commit')
    const s = await serve(folder, without(rows[16]))
    expect(said(s, /^commits are missing from the store; what they held is lost/).length).toBe(1)
    only(s, 'dev')
    expect(lacks(s, 'dev')).toEqual([])
  })

  test('H: all of its messages that are on the disk come, as handed out before', async () => {
    const row = of('head')[0]
    for (const rows of [value(row), without(row)]) {
      const s = await serve(folder, rows)
      only(s, 'dev')
      expect([lacks(s, 'dev'), more(s, 'dev').length]).toEqual([[], 8])
      expect(said(s, /the head of a queue is damaged/)).toEqual([{ queue: 'dev', kind: 'session', messages: 39 }])
    }
  })

  test('Q: of a session nothing is lost; of a group its messages are, and that is counted', async () => {
    const [session, , group] = of('queue')
    for (const rows of [value(session), without(session)]) only(await serve(folder, rows))
    for (const rows of [value(group), without(group)]) {
      const s = await serve(folder, rows)
      only(s, 'shared')
      expect(s.damaged.group).toBe(41)
      expect(said(s, /the definition of a queue is damaged/)).toEqual([{ id: 3, messages: 41 }])
    }
  })

  test('S: what waits is kept, and the client is told once that no session was present', async () => {
    const row = of('session').find((i) => folder.rows[i].key.toString() === 'Sdev') as number
    for (const rows of [value(row), without(row)]) {
      const s = await serve(folder, rows)
      only(s)
      expect([s.present.dev, s.present.shared]).toEqual([false, true])
      expect(said(s, /the row of a session is damaged/)).toEqual([{ client: 'dev' }])
    }
  })

  test('F, N: the client is told that no session was present, so that it subscribes again', async () => {
    const s = await serve(folder, value(of('subscription')[0]))
    expect(s.present).toEqual({ ...whole.present, dev: false })
    only(s)
    const n = await serve(folder, value(of('inbound')[0]))
    expect(n.present).toEqual({ ...whole.present, half: false })
    expect(said(n, /QoS 2/).length).toBe(1)
  })

  test('R, W, B: the topic, the client and the rule are named', async () => {
    for (const [kind, name, place] of [
      ['retained', 'r/0', 'retained'],
      ['will', 'willed', 'will'],
      ['bridge_rule', 'rule', ''],
    ] as const) {
      const s = await serve(folder, value(of(kind)[0]))
      only(s, place)
      expect(said(s, /^damaged rows in the store/)[0]).toMatchObject({ kind, rows: 1 })
      expect(JSON.stringify(said(s, /^damaged rows/))).toContain(name)
    }
  })

  test('s: a head is made anew; without a definition its messages are counted, and stay', async () => {
    for (const rows of [value(keyed('7300000004000000000000')), without(keyed('7300000004000000000000'))]) {
      const s = await serve(folder, rows)
      only(s)
      expect(said(s, /the head of a queue is damaged: it is made anew/)).toMatchObject([{ queue: 'keyed', messages: 41 }])
    }
    const s = await serve(folder, value(keyed('7300000004000000000001')))
    only(s, 'keyed')
    expect(s.damaged.pull).toBe(41)
    expect(said(s, /its name is not known/)).toEqual([{ id: 4, messages: 41 }])
  })

  test('o: the entry leaves as damaged; the next of its key comes forward', async () => {
    for (const row of of('ordered_index').slice(1, 4)) {
      for (const rows of [value(row), without(row)]) {
        const s = await serve(folder, rows)
        only(s, 'keyed')
        expect([lacks(s, 'keyed').length, s.damaged.pull]).toEqual([1, 1])
      }
    }
  })

  test('d: a key without its row goes on', async () => {
    const row = folder.rows.findIndex(({ key }) => key.toString('latin1').endsWith('km/0'))
    for (const rows of [value(row), without(row)]) {
      const s = await serve(folder, rows)
      expect([...s.outcome.keyed].sort()).toEqual([...whole.outcome.keyed].sort())
      only(s, 'keyed')
    }
  })

  test('counts of extents are made anew, so that no message goes that is needed', async () => {
    const row = folder.rows.findIndex(({ key }) => key.toString('hex').startsWith('6f0000000007'))
    expect(row).toBeGreaterThan(0)
    for (const rows of [value(row), without(row)]) only(await serve(folder, rows))
  })

  test('meta: without the checkpoint the commit rows say it; without these the start is refused', async () => {
    const at = (name: string): number => folder.rows.findIndex(({ key }) => key.toString() === name)
    for (const rows of [value(at('!checkpoint')), without(at('!checkpoint'))]) {
      const s = await serve(folder, rows)
      only(s)
      expect(said(s, /the row of the last checkpoint is damaged/).length).toBe(1)
    }
    const none = without(at('!checkpoint'), ...of('commit'))
    none.push(value(at('!checkpoint'))[at('!checkpoint')])
    await expect(serve(folder, none)).rejects.toMatchObject({ code: 'store_damaged' })
    for (const rows of [value(at('!next-queue')), without(at('!next-queue')), value(at('!checksums'))]) {
      only(await serve(folder, rows))
    }
    await expect(serve(folder, value(at('!schema')))).rejects.toMatchObject({ code: 'store_damaged' })
  })
})
