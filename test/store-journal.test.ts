import { beforeEach, describe, expect, test } from 'vitest'
import { COMMIT_BYTES_MAX } from '../src/core/limits.js'
import { silentLog } from '../src/core/log.js'
import { Journal, LAZY_MS } from '../src/store/journal.js'
import type { Waiter } from '../src/store/waiter.js'
import { ManualClock } from './support/clock.js'
import { CutDisk } from './support/cut-disk.js'
import { turn } from './support/store.js'

class Heard implements Waiter {
  readonly said: string[] = []
  private readonly journal: () => Journal
  constructor(journal: () => Journal) {
    this.journal = journal
  }
  committed(token: number): void {
    this.said.push(`${token} in ${this.journal().committedGroup}`)
  }
  commitFailed(token: number): void {
    this.said.push(`${token} failed`)
  }
}

const key = (n: number): Buffer => Buffer.from([n])
const value = Buffer.from('v')

describe('the journal', () => {
  let disk: CutDisk
  let clock: ManualClock
  let journal: Journal
  let heard: Heard
  let groups: number[]

  beforeEach(() => {
    disk = new CutDisk()
    clock = new ManualClock()
    journal = new Journal({ disk, sync: true, clock, log: silentLog, committed: 0 })
    heard = new Heard(() => journal)
    groups = []
    disk.onWrite = (ops, sync) => {
      expect(sync).toBe(true)
      groups.push(ops.length)
    }
  })

  const give = (n: number): void => {
    journal.put(key(n), value)
    journal.wait(heard, n, journal.openGroup)
  }

  test('what is put in one turn is one commit, answered in order', async () => {
    give(1)
    give(2)
    give(3)
    expect(disk.writes).toBe(0)
    await journal.flush()
    expect(groups).toEqual([3])
    expect(heard.said).toEqual(['1 in 1', '2 in 1', '3 in 1'])
    expect([journal.committedGroup, journal.openGroup]).toEqual([1, 2])
  })

  test('while a commit is at the disk the next group collects, and nobody is answered', async () => {
    disk.holding = true
    give(1)
    await turn()
    give(2)
    journal.wait(heard, 10, journal.openGroup - 1)
    give(3)
    await turn()
    expect(groups).toEqual([1])
    expect(heard.said).toEqual([])
    disk.step()
    await turn()
    expect(heard.said).toEqual(['1 in 1', '10 in 1'])
    expect(groups).toEqual([1, 2])
    disk.step()
    await turn()
    expect(heard.said.slice(2)).toEqual(['2 in 2', '3 in 2'])
  })

  test('the next commit is on its way before the first waiter is answered', async () => {
    disk.holding = true
    const writes: number[] = []
    journal.put(key(1), value)
    journal.wait({ committed: () => writes.push(disk.writes), commitFailed() {} }, 0, journal.openGroup)
    await turn()
    journal.put(key(2), value)
    disk.step()
    await turn()
    expect(writes).toEqual([2])
  })

  test('a lazy put waits LAZY_MS, or rides with the next commit', async () => {
    journal.putLazily(key(1), value)
    await turn()
    clock.advance(LAZY_MS - 1)
    await turn()
    expect(groups).toEqual([])
    clock.advance(1)
    await turn()
    expect(groups).toEqual([1])
    journal.delLazily(key(1))
    give(2)
    await turn()
    expect(groups).toEqual([1, 2])
    clock.advance(1_000)
    await turn()
    expect(groups).toEqual([1, 2])
  })

  test('waiting alone asks for a commit', async () => {
    journal.wait(heard, 7, journal.openGroup)
    await turn()
    expect(heard.said).toEqual(['7 in 1'])
  })

  test('waiting for a commit that is done, or not begun, is a defect', async () => {
    give(1)
    await journal.flush()
    expect(() => journal.wait(heard, 1, 1)).toThrow(/already/)
    expect(() => journal.wait(heard, 1, 3)).toThrow(/no commit 3/)
  })

  test('a failed commit answers nobody, once each, and nothing is written ever after', async () => {
    const errors: string[] = []
    journal.onFailed = (error) => errors.push(error.code)
    disk.holding = true
    give(1)
    journal.wait(heard, 2, journal.openGroup)
    await turn()
    give(3)
    disk.failing = true
    disk.step()
    await turn()
    // The first batch was held and got through; the second met the full disk.
    expect(heard.said).toEqual(['1 in 1', '2 in 1', '3 failed'])
    expect(errors).toEqual(['store_failed'])
    expect(journal.failed).toBe(true)
    disk.failing = false
    disk.holding = false
    const writes = disk.writes
    const late = new Heard(() => journal)
    journal.put(key(9), value)
    journal.wait(late, 9, journal.openGroup)
    journal.wait(late, 10, journal.openGroup)
    await turn()
    expect(late.said).toEqual(['9 failed'])
    expect(disk.writes).toBe(writes)
    await expect(journal.flush()).rejects.toMatchObject({ code: 'store_failed' })
    expect(errors.length).toBe(1)
    await journal.close()
  })

  test('a waiter that throws does not keep the next from its answer', async () => {
    journal.put(key(1), value)
    const bad: Waiter = {
      committed() {
        throw new Error('mine')
      },
      commitFailed() {},
    }
    journal.wait(bad, 1, journal.openGroup)
    journal.wait(heard, 2, journal.openGroup)
    await turn()
    expect(heard.said).toEqual(['2 in 1'])
  })

  test('closing commits what is open, and then takes nothing', async () => {
    give(1)
    journal.putLazily(key(2), value)
    await journal.close()
    expect(heard.said).toEqual(['1 in 1'])
    expect(disk.getSync(key(2))).toBeDefined()
    journal.put(key(3), value)
    await turn()
    expect(disk.getSync(key(3))).toBeUndefined()
  })

  test('contributors are asked once per commit, told before the waiters and again after them', async () => {
    const order: string[] = []
    journal.contribute({
      seal: (put) => {
        order.push(`seal ${journal.openGroup}`)
        put(key(200), value)
      },
      committed: (group) => order.push(`committed ${group}`),
      settled: (group) => order.push(`settled ${group}`),
    })
    journal.wait({ committed: () => order.push('waiter'), commitFailed() {} }, 0, journal.openGroup)
    journal.put(key(1), value)
    await journal.flush()
    expect(order).toEqual(['seal 1', 'committed 1', 'waiter', 'settled 1'])
    expect(groups).toEqual([2])
  })

  test('it says when too much waits for the disk', async () => {
    disk.holding = true
    journal.put(key(1), Buffer.alloc(COMMIT_BYTES_MAX))
    expect(journal.congested).toBe(true)
    await turn()
    expect(journal.congested).toBe(false)
  })

  test('commit numbers go on where the store left off', async () => {
    const next = new Journal({ disk, sync: true, clock, log: silentLog, committed: 41 })
    expect(next.openGroup).toBe(42)
    next.put(key(1), value)
    await next.flush()
    expect(next.committedGroup).toBe(42)
  })
})
