/** The damage rig's own judgement: what it would miss, nobody would find. */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Came } from './rigs/lib/damage/actor.js'
import { type Base, newPromised } from './rigs/lib/damage/base.js'
import { idIn, payloadFor } from './rigs/lib/damage/content.js'
import type { Drained } from './rigs/lib/damage/drain.js'
import { changes, damageFile, filesOf, kindOf, snapshot } from './rigs/lib/damage/folder.js'
import { judge } from './rigs/lib/damage/judge.js'
import type { Owner, Promised } from './rigs/lib/damage/promised.js'
import { Round } from './rigs/lib/damage/round.js'
import { Said } from './rigs/lib/damage/said.js'
import { Seeded } from './rigs/lib/seeded.js'
import { NotStarted, type Running, type Target } from './rigs/lib/target.js'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'damage-'))
  folders.push(made)
  return made
}

describe('a payload', () => {
  it('comes back as its name, and with one bit changed as nothing', () => {
    for (const bytes of [60, 300, 5000]) {
      const payload = payloadFor('m17', bytes)
      expect(Math.abs(payload.length - bytes)).toBeLessThan(40)
      expect(idIn(payload)).toBe('m17')
      for (let at = 0; at < payload.length; at += 7) {
        const altered = Buffer.from(payload)
        altered[at] ^= 4
        expect(idIn(altered)).toBeUndefined()
      }
      expect(idIn(payload.subarray(0, -1))).toBeUndefined()
    }
  })
})

/** One session at QoS 2 and one queue, both owed `count` messages on a/1/x. */
function world(count: number): { promised: Promised; ids: string[] } {
  const promised = newPromised()
  const ids = Array.from({ length: count }, () => promised.sent('a/1/x'))
  for (const id of ids) promised.published(id, 2, false)
  for (const owner of [...promised.owed.keys()])
    if (!['session two', 'queue bridged'].includes(owner)) promised.owed.delete(owner)
  return { promised, ids }
}

const came = (owner: Owner, id: string | undefined, more: Partial<Came> = {}): Came => ({
  owner,
  id,
  again: false,
  qos: 2,
  topic: 'a/1/x',
  key: '',
  priority: 8,
  ...more,
})

function drained(list: Came[], more: Partial<Drained> = {}): Drained {
  return {
    came: list,
    retained: new Map(),
    sessions_absent: [],
    queues_absent: [],
    rules_absent: [],
    stuck: [],
    refused: [],
    ...more,
  }
}

const all = (ids: readonly string[]): Came[] => ids.flatMap((id) => [came('session two', id), came('queue bridged', id)])
const kinds = (promised: Promised, d: Drained, stderr = ''): string[] =>
  [...new Set(judge(promised, d, new Said(stderr)).map((v) => v.kind))].sort()
const line = (fields: object, message: string, level = 'error'): string => `${JSON.stringify({ level, ...fields, message })}\n`

describe('the judge', () => {
  it('finds nothing where everything came once', () => {
    const { promised, ids } = world(3)
    expect(kinds(promised, drained(all(ids)))).toEqual([])
  })

  it('finds an altered payload, and an altered topic', () => {
    const { promised, ids } = world(2)
    expect(kinds(promised, drained([...all(ids), came('session two', undefined)]))).toEqual(['altered'])
    expect(
      kinds(
        promised,
        drained([...all(ids.slice(1)), came('queue bridged', ids[0]), came('session two', ids[0], { topic: 'a/1/y' })]),
      ),
    ).toEqual(['altered'])
  })

  it('finds what is missing and not said', () => {
    const { promised, ids } = world(3)
    const lacking = drained([...all(ids.slice(1)), came('queue bridged', ids[0])])
    expect(kinds(promised, lacking)).toEqual(['silent'])
    expect(kinds(promised, lacking, line({ client: 'one', messages: 1 }, 'messages are lost'))).toEqual(['silent'])
    expect(kinds(promised, lacking, line({ client: 'two', messages: 1 }, 'messages are lost', 'info'))).toEqual(['silent'])
    expect(kinds(promised, lacking, line({ client: 'two', messages: 1 }, 'messages are lost'))).toEqual([])
    expect(kinds(promised, lacking, line({ queue: 'session two', messages: 3 }, 'messages are lost'))).toEqual([])
    expect(kinds(promised, lacking, line({ from: 7, to: 9 }, 'commits are missing'))).toEqual([])
    expect(kinds(promised, lacking, line({ from: 7, to: 9 }, 'something else'))).toEqual(['silent'])
  })

  it('wants the number', () => {
    const { promised, ids } = world(3)
    const lacking = drained(ids.map((id) => came('queue bridged', id)))
    expect(kinds(promised, lacking, line({ client: 'two', messages: 2 }, 'messages are lost'))).toEqual(['too few'])
    expect(kinds(promised, lacking, line({ client: 'two' }, 'something is damaged'))).toEqual(['too few'])
    expect(
      kinds(promised, lacking, line({ client: 'two', messages: 2 }, 'lost') + line({ client: 'two', messages: 1 }, 'lost')),
    ).toEqual([])
  })

  it('reads a number from the metrics, too', () => {
    const { promised, ids } = world(2)
    const lacking = drained(ids.map((id) => came('queue bridged', id)))
    const said = new Said('', 'aqueduct_queue_damaged_total{queue="two"} 2\naqueduct_queue_damaged_total{queue="one"} 0\n')
    expect(judge(promised, lacking, said)).toEqual([])
  })

  it('finds what comes again after it was taken', () => {
    const { promised, ids } = world(2)
    promised.settle('session two', ids[0])
    expect(kinds(promised, drained(all(ids)))).toEqual(['again'])
    expect(kinds(promised, drained(all(ids)), line({ client: 'two', messages: 1 }, 'the head is damaged'))).toEqual([])
    const { promised: once, ids: two } = world(1)
    expect(kinds(once, drained([...all(two), came('session two', two[0])]))).toEqual(['again'])
  })

  it('lets a redelivery with DUP at QoS 1 pass, and not one without', () => {
    const { promised, ids } = world(1)
    const twice = (again: boolean): Drained => drained([...all(ids), came('session two', ids[0], { qos: 1, again })])
    expect(kinds(promised, twice(true))).toEqual([])
    expect(kinds(promised, twice(false))).toEqual(['again'])
  })

  it('finds absent sessions, queues and rules, and wrong retained messages', () => {
    const { promised, ids } = world(1)
    const id = promised.sent('r/1')
    promised.published(id, 1, true)
    const right = { retained: new Map([['r/1', id]]) }
    expect(kinds(promised, drained(all(ids), right))).toEqual([])
    expect(kinds(promised, drained(all(ids)))).toEqual(['silent'])
    expect(kinds(promised, drained(all(ids)), line({ names: ['r/1'], rows: 1 }, 'damaged rows'))).toEqual([])
    expect(kinds(promised, drained(all(ids), { retained: new Map([['r/1', undefined]]) }))).toEqual(['altered'])
    for (const absent of [{ sessions_absent: ['one'] }, { queues_absent: ['plain'] }, { rules_absent: ['all-a'] }])
      expect(kinds(promised, drained(all(ids), { ...right, ...absent }))).toEqual(['silent'])
  })

  it('finds what comes to somebody who has no right to it', () => {
    const { promised, ids } = world(1)
    expect(kinds(promised, drained([...all(ids), came('session small', ids[0])]))).toEqual(['unasked'])
  })
})

describe('the folder', () => {
  function made(): string {
    const dir = folder()
    mkdirSync(join(dir, 'level'))
    mkdirSync(join(dir, 'lock'))
    const files = {
      'level/000003.log': 'log'.repeat(4000),
      'level/000005.ldb': 'table'.repeat(4000),
      'level/MANIFEST-000002': 'manifest',
      'level/CURRENT': 'MANIFEST-000002\n',
      'level/LOCK': '',
      'level/LOG': 'for people',
      'lock/CURRENT': 'x',
      mark: 'm',
    }
    for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content)
    return dir
  }

  it('knows its files', () => {
    const dir = made()
    expect(kindOf('level/LOG')).toBeUndefined()
    expect(filesOf(dir, 'log')).toEqual(['level/000003.log'])
    expect(filesOf(dir, 'table')).toEqual(['level/000005.ldb'])
    expect(filesOf(dir, 'own')).toEqual(['lock/CURRENT', 'mark'])
    expect([...snapshot(dir).keys()]).not.toContain('lock/CURRENT')
  })

  it('sees every change, and only that', () => {
    const dir = made()
    for (const how of ['flip', 'zero', 'cut', 'delete', 'cut open'] as const) {
      for (let seed = 0; seed < 20; seed++) {
        const before = snapshot(dir)
        const was = readFileSync(join(dir, 'level/000003.log'))
        const done = damageFile(dir, 'level/000003.log', how, new Seeded(seed))
        expect(done).toBeDefined()
        expect(changes(before, snapshot(dir))).toHaveLength(1)
        writeFileSync(join(dir, 'level/000003.log'), was)
        writeFileSync(join(dir, 'level/LOG'), 'more for people')
        expect(changes(before, snapshot(dir))).toEqual([])
      }
    }
    expect(damageFile(dir, 'level/LOCK', 'flip', new Seeded(1))).toBeUndefined()
  })
})

describe('a folder whose open was killed', () => {
  it('counts as it is put back by the next start', () => {
    const dir = folder()
    for (const name of ['level', 'level.before', 'level.gone']) mkdirSync(join(dir, name))
    writeFileSync(join(dir, 'level.before/000003.log'), 'as it was')
    writeFileSync(join(dir, 'level/000004.ldb'), 'half made')
    writeFileSync(join(dir, 'level.gone/000001.log'), 'rubbish')
    const before = snapshot(dir)
    rmSync(join(dir, 'level'), { recursive: true })
    renameSync(join(dir, 'level.before'), join(dir, 'level'))
    expect(changes(before, snapshot(dir))).toEqual([])
    writeFileSync(join(dir, 'level/000003.log'), 'as it was not')
    expect(changes(before, snapshot(dir))).toEqual(['level/000003.log has changed'])
  })
})

/** A broker that does not start, each time with the next of `ends`; `touch`: it changes a file. */
function failing(ends: readonly { how: string | undefined; stderr: string }[], touch = false): Target {
  let n = 0
  return {
    name: 'failing',
    start: (dir): Promise<Running> => {
      if (touch) writeFileSync(join(dir, 'level/000003.log'), `changed ${n}`)
      const { how, stderr } = ends[Math.min(n++, ends.length - 1)]
      return Promise.reject(new NotStarted(how, 1, stderr))
    },
  }
}

describe('a start that comes to nothing', () => {
  const GOOD = 'aqueduct: level/000003.log has changed at byte 17. Nothing was changed. Restore it from a copy.\n'

  async function violations(target: Target): Promise<string[]> {
    const dir = folder()
    mkdirSync(join(dir, 'base', 'level'), { recursive: true })
    writeFileSync(join(dir, 'base', 'level/000003.log'), 'log'.repeat(100))
    const base: Base = { name: 'base', dir: join(dir, 'base'), promised: newPromised() }
    const damage = { when: 'start', how: 'flip', kind: 'log' } as const
    const report = await new Round(target, base, join(dir, 'copy'), '', damage, 1).run()
    return [...new Set(report.violations.map((v) => v.kind))].sort()
  }

  it('passes with a sentence that says what to do, twice the same', async () => {
    expect(await violations(failing([{ how: '1', stderr: GOOD }]))).toEqual([])
  })

  it('is found when a signal ended it, or when nothing is said', async () => {
    expect(await violations(failing([{ how: 'SIGABRT', stderr: GOOD }]))).toEqual(['signal'])
    expect(await violations(failing([{ how: '1', stderr: '' }]))).toEqual(['speechless'])
    expect(await violations(failing([{ how: '134', stderr: GOOD }]))).toEqual(['speechless'])
    expect(await violations(failing([{ how: '1', stderr: 'aqueduct: it is broken\n' }]))).toEqual(['speechless'])
    expect(await violations(failing([{ how: undefined, stderr: '' }]))).toEqual(['hangs'])
  })

  it('is found when it changes a file, or says something else the second time', async () => {
    expect(await violations(failing([{ how: '1', stderr: GOOD }], true))).toEqual(['changed'])
    const other = 'aqueduct: the store is empty. Move the folder away to start empty, or restore it.\n'
    expect(
      await violations(
        failing([
          { how: '1', stderr: GOOD },
          { how: '1', stderr: other },
        ]),
      ),
    ).toEqual(['wavers'])
  })
})
