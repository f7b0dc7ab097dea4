/** Receipts, due timers and the line of long polls: the small parts that ordered queues are made of. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatReceipt, NonceSource, parseReceipt } from '../src/queue/receipt.js'
import { type Due, DueTimers } from '../src/queue/timers.js'
import { type LongPoll, Waiters } from '../src/queue/waiters.js'
import { ManualClock } from './support/clock.js'
import { seededRandom } from './support/ordered-rig.js'

describe('a receipt', () => {
  it('says what it was made of', () => {
    const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), u48, u48, u48, (queue, place, high, low) => {
        const text = formatReceipt(queue, place, { high, low })
        expect(text).toMatch(/^[A-Za-z0-9_-]{32}$/)
        expect(parseReceipt(text)).toEqual({ queue, place, high, low })
      }),
    )
  })

  it('is nothing else', () => {
    const text = formatReceipt(1, 2, { high: 3, low: 4 })
    const other = Buffer.from(text, 'base64url')
    other[0] = 2
    const reserved = Buffer.from(text, 'base64url')
    reserved[1] = 1
    const bad = [
      '',
      text.slice(1),
      `${text}A`,
      `${text.slice(1)}+`,
      `${text.slice(1)}é`,
      other.toString('base64url'),
      reserved.toString('base64url'),
    ]
    for (const t of bad) expect([t, parseReceipt(t)]).toEqual([t, undefined])
  })

  it('has bits that are never drawn twice, across refills', () => {
    const source = new NonceSource(seededRandom(7))
    const seen = new Set<string>()
    const nonce = { high: 0, low: 0 }
    for (let i = 0; i < 1_000; i++) {
      source.draw(nonce)
      seen.add(`${nonce.high}/${nonce.low}`)
    }
    expect(seen.size).toBe(1_000)
  })
})

class Alarm implements Due {
  slot = -1
  dueAt = 0
  readonly rang: number[] = []
  next: (now: number) => number = () => Number.POSITIVE_INFINITY
  due(now: number): number {
    this.rang.push(now)
    return this.next(now)
  }
}

describe('due timers', () => {
  it('ring each item at its moment, with one armed timer', () => {
    const clock = new ManualClock()
    const start = clock.now()
    const timers = new DueTimers(clock)
    const alarms = Array.from({ length: 50 }, () => new Alarm())
    for (const [i, a] of alarms.entries()) timers.set(a, start + ((i * 37) % 50) * 10 + 10)
    expect(clock.pending).toBe(1)
    clock.advance(500)
    expect(alarms.map((a) => a.rang)).toEqual(alarms.map((_, i) => [start + ((i * 37) % 50) * 10 + 10]))
    expect(clock.pending).toBe(0)
  })

  it('follow changes: earlier, later, never', () => {
    const clock = new ManualClock()
    const start = clock.now()
    const timers = new DueTimers(clock)
    const [a, b, c] = [new Alarm(), new Alarm(), new Alarm()]
    timers.set(a, start + 100)
    timers.set(b, start + 100)
    timers.set(c, start + 100)
    timers.set(a, start + 50)
    timers.set(b, start + 200)
    timers.set(c, Number.POSITIVE_INFINITY)
    clock.advance(300)
    expect([a.rang, b.rang, c.rang]).toEqual([[start + 50], [start + 200], []])
  })

  it('ring an item that has more to do again in the next turn', () => {
    const clock = new ManualClock()
    const timers = new DueTimers(clock)
    const a = new Alarm()
    let left = 3
    a.next = (now) => (--left > 0 ? now : Number.POSITIVE_INFINITY)
    timers.set(a, clock.now())
    clock.advance(0)
    expect(a.rang.length).toBe(3)
  })

  it('look again within a minute, whatever the clock was set to', () => {
    const clock = new ManualClock()
    const timers = new DueTimers(clock)
    const a = new Alarm()
    timers.set(a, clock.now() + 3_600_000)
    clock.step(3_600_000)
    clock.advance(59_999)
    expect(a.rang.length).toBe(0)
    clock.advance(1)
    expect(a.rang.length).toBe(1)
    timers.set(a, clock.now() + 10)
    clock.step(-1_000)
    clock.advance(1_009)
    expect(a.rang.length).toBe(1)
    clock.advance(1)
    expect(a.rang.length).toBe(2)
  })

  it('match a sorted list under random use', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(9), fc.oneof(fc.nat(1_000), fc.constant(-1))), { maxLength: 60 }), (sets) => {
        const clock = new ManualClock()
        const start = clock.now()
        const timers = new DueTimers(clock)
        const alarms = Array.from({ length: 10 }, () => new Alarm())
        const want = new Map<number, number>()
        for (const [i, at] of sets) {
          timers.set(alarms[i], at < 0 ? Number.POSITIVE_INFINITY : start + at)
          if (at < 0) want.delete(i)
          else want.set(i, start + at)
        }
        clock.advance(1_000)
        expect(alarms.map((a) => a.rang)).toEqual(alarms.map((_, i) => (want.has(i) ? [want.get(i)] : [])))
      }),
    )
  })
})

describe('the line of long polls', () => {
  class Poll implements LongPoll {
    readonly max = 1
    readonly lease_ms = 1
    end = 0
    ended(): void {
      this.end++
    }
    serve(): void {}
  }

  it('takes in order, skips who left, ends who waited long enough, once', () => {
    const clock = new ManualClock()
    const line = new Waiters(clock, 3)
    const polls = [new Poll(), new Poll(), new Poll(), new Poll()]
    const places = polls.map((p, i) => line.join(p, 100 * (i + 1)))
    expect(places[3]).toBeUndefined()
    expect(line.size).toBe(3)
    places[1]?.leave()
    places[1]?.leave()
    expect(line.take()).toBe(polls[0])
    expect(line.size).toBe(1)
    clock.advance(1_000)
    expect(polls.map((p) => p.end)).toEqual([0, 0, 1, 0])
    expect(line.size).toBe(0)
    expect(line.take()).toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  it('ends all when asked', () => {
    const clock = new ManualClock()
    const line = new Waiters(clock, 10)
    const polls = [new Poll(), new Poll()]
    for (const p of polls) line.join(p, 1_000)
    line.endAll()
    clock.advance(2_000)
    expect(polls.map((p) => p.end)).toEqual([1, 1])
  })
})
