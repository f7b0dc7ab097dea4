/** The broker's own time, next to clocks that step, sleep and begin anew. What that means for sessions and messages is in clock-steps.test.ts. */
import { describe, expect, it } from 'vitest'
import { readTimeRow, writeTimeRow } from '../src/broker/time-row.js'
import { BrokerTime, ERAS_MAX, OFF_MS_MAX, type SavedTime, STEP_MS } from '../src/core/broker-time.js'
import type { Log } from '../src/core/log.js'
import { ManualClock } from './support/clock.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR

class Lines implements Log {
  readonly lines: string[] = []
  private readonly add = (level: string) => (fields: object) => void this.lines.push(`${level} ${JSON.stringify(fields)}`)
  debug = this.add('debug')
  info = this.add('info')
  warn = this.add('warn')
  error = this.add('error')
}

function started(machine: ManualClock, saved?: SavedTime): { time: BrokerTime; log: Lines } {
  const log = new Lines()
  const time = new BrokerTime(machine, log)
  time.resume(saved)
  return { time, log }
}

/** Over a row of the store. */
const kept = (time: BrokerTime): SavedTime => readTimeRow(writeTimeRow(time.saved())) as SavedTime

describe('while it runs', () => {
  it.each([3_000, -3_000, HOUR, -HOUR, 10 * DAY, -10 * DAY])('a step of %i ms changes nothing but the offset', (step) => {
    const machine = new ManualClock()
    const { time, log } = started(machine)
    const begun = time.now()
    machine.step(step)
    machine.advance(250)
    expect(time.look()).toBe(true)
    expect(time.now()).toBe(begun + 250)
    expect([time.offset_ms, time.steps]).toEqual([step, 1])
    expect(log.lines).toEqual([`warn {"step_ms":${step},"offset_ms":${step}}`])
    // As a calendar says it, and back.
    expect(time.calendar(begun)).toBe(begun + step)
    expect(time.moment(time.calendar(begun))).toBe(begun)
    machine.advance(250)
    expect([time.look(), time.steps]).toEqual([false, 1])
    machine.step(-step)
    expect([time.look(), time.steps, time.offset_ms]).toEqual([true, 2, 0])
  })

  it('says a step from a second on, follows less without a word, and rounding not at all', () => {
    const machine = new ManualClock()
    const { time, log } = started(machine)
    for (const [step, seen, offset] of [
      [99, false, 0],
      [1, true, 100],
      [STEP_MS - 1, true, STEP_MS + 99],
    ] as const) {
      machine.step(step)
      expect([time.look(), time.offset_ms, time.steps]).toEqual([seen, offset, 0])
    }
    expect(log.lines).toEqual([])
    machine.step(-STEP_MS)
    expect([time.look(), time.offset_ms, time.steps]).toEqual([true, 99, 1])
  })

  it('time in which the machine slept has passed', () => {
    const machine = new ManualClock()
    const { time, log } = started(machine)
    const begun = time.now()
    machine.sleep(8 * HOUR)
    time.look()
    expect([time.now(), time.offset_ms, time.steps]).toEqual([begun + 8 * HOUR, 0, 0])
    expect(log.lines).toEqual([`info {"asleep_ms":${8 * HOUR}}`])
    // And was set meanwhile.
    machine.sleep(HOUR)
    machine.step(-10 * DAY)
    time.look()
    expect([time.now(), time.offset_ms, time.steps]).toEqual([begun + 9 * HOUR, -10 * DAY, 1])
  })
})

it("a process's own clock that steps, which no system does by itself, is put right by the machine's", () => {
  const machine = new ManualClock()
  const { time, log } = started(machine)
  const begun = time.now()
  const right = machine.uptime_ms.bind(machine)
  machine.uptime_ms = () => right() + DAY
  machine.advance(250)
  time.look()
  expect([time.now(), time.steps]).toEqual([begun + 250, 0])
  expect(log.lines).toEqual([`warn {"step_ms":${DAY}}`])
})

describe('over a restart on the same boot', () => {
  it.each([0, 3_000, -3_000, HOUR, -HOUR, 10 * DAY, -10 * DAY])(
    'it goes on exactly, whatever the wall clock says (%i ms)',
    (step) => {
      const machine = new ManualClock()
      const before = started(machine).time
      machine.advance(60_000)
      const saved = kept(before)
      // Killed some time after it was saved.
      machine.advance(20_000)
      const then = before.now()
      machine.step(step)
      const { time, log } = started(machine.later(5_000), saved)
      expect([time.now(), time.offset_ms, time.steps]).toEqual([then + 5_000, step, step === 0 ? 0 : 1])
      expect(log.lines.length).toBe(step === 0 ? 0 : 1)
      // A step that was seen at a start is written, or the next reboot would take it for time that passed.
      expect(time.isSaved(saved)).toBe(step === 0)
      expect(time.isSaved(kept(time))).toBe(true)
    },
  )

  it('a container that counts its own uptime is a machine that was started anew', () => {
    const machine = new ManualClock()
    const before = started(machine).time
    machine.advance(60_000)
    const saved = kept(before)
    const inside = machine.later(5_000)
    inside.boot_ms = () => 100
    expect(started(inside, saved).time.now()).toBe(before.now() + 5_000)
  })
})

describe('over a reboot', () => {
  const saved = (step = 0): { machine: ManualClock; saved: SavedTime; last: number } => {
    const machine = new ManualClock()
    const { time } = started(machine)
    machine.step(step)
    time.look()
    machine.advance(60_000)
    return { machine, saved: kept(time), last: time.now() }
  }

  it.each([0, 10 * DAY, -10 * DAY])('the wall clock says how long the machine was off, after a step of %i ms, too', (step) => {
    const { machine, saved: row, last } = saved(step)
    machine.reboot(2 * HOUR)
    const { time, log } = started(machine.later(0), row)
    expect([time.now(), time.offset_ms, time.steps]).toEqual([last + 2 * HOUR, step, 0])
    expect(log.lines).toEqual([`info {"off_ms":${2 * HOUR}}`])
    expect(time.isSaved(row)).toBe(false)
    expect(time.isSaved(kept(time))).toBe(true)
  })

  it('it is not believed before what is stored, nor more than a year behind it', () => {
    for (const [off, believed] of [
      [0, true],
      [-1, false],
      [-50 * 366 * DAY, false],
      [OFF_MS_MAX, true],
      [OFF_MS_MAX + 1, false],
    ] as const) {
      const { machine, saved: row, last } = saved()
      machine.reboot(off)
      const { time, log } = started(machine.later(0), row)
      expect([off, time.now()]).toEqual([off, believed ? last + off : last])
      expect(time.offset_ms).toBe(believed ? 0 : off)
      // A millisecond is nothing to talk about.
      const said = believed ? ['info'] : off === -1 ? [] : ['warn']
      expect(log.lines.map((line) => line.slice(0, 4))).toEqual(said)
      expect(time.steps).toBe(said[0] === 'warn' ? 1 : 0)
    }
  })

  it('without a battery clock: nothing passes by what NTP says later, and moments of before keep their date', () => {
    const { machine, saved: row, last } = saved()
    machine.reboot(0, -56 * 365 * DAY)
    const second = machine.later(0)
    const { time } = started(second, row)
    second.advance(60_000)
    expect(time.calendar(time.now())).toBe(second.now())
    second.step(56 * 365 * DAY + 8 * HOUR)
    time.look()
    expect(time.now()).toBe(last + 60_000)
    expect(time.calendar(time.now())).toBe(second.now())
    // It was off for eight hours: what was stored an hour before, was stored then.
    expect(time.calendar(last - HOUR)).toBe(last - HOUR)
    expect(time.moment(last - HOUR)).toBe(last - HOUR)
    expect(time.moment(second.now())).toBe(time.now())
    // And over the next start.
    second.reboot(HOUR)
    const third = started(second.later(0), kept(time)).time
    expect(third.now()).toBe(last + 60_000 + HOUR)
    expect(third.calendar(last - HOUR)).toBe(last - HOUR)
    expect(third.calendar(last + 60_000)).toBe(last + 60_000 + 8 * HOUR)
  })

  it('remembers a bounded number of boots, and those without steps as one', () => {
    let machine = new ManualClock()
    let { time } = started(machine)
    for (let i = 0; i < ERAS_MAX + 20; i++) {
      const row = kept(time)
      machine.reboot(HOUR)
      machine = machine.later(0)
      time = started(machine, row).time
      machine.advance(60_000)
      if (i >= 10) machine.step(10_000)
      time.look()
      if (i === 9) expect(kept(time).eras.length).toBeLessThanOrEqual(3)
    }
    expect(kept(time).eras.length).toBe(ERAS_MAX)
    expect(time.calendar(time.now())).toBe(machine.now())
  })
})

it('a store that knows no time is on the wall clock, and one that is opened again is not asked', () => {
  const machine = new ManualClock()
  const { time } = started(machine)
  expect(time.now()).toBe(machine.now())
  const row = kept(time)
  machine.step(DAY)
  machine.advance(1_000)
  time.look()
  const now = time.now()
  time.resume({ ...row, booted: row.booted + DAY })
  expect(time.now()).toBe(now)
})

it('a row that is none is not read', () => {
  const row = writeTimeRow({ boot_id: 'b', booted: 1, last: 2, eras: [{ since: 3, offset_ms: -4 }] })
  expect(readTimeRow(row)).toEqual({ boot_id: 'b', booted: 1, last: 2, eras: [{ since: 3, offset_ms: -4 }] })
  const none = writeTimeRow({ boot_id: undefined, booted: 1, last: 2, eras: [{ since: 3, offset_ms: 4 }] })
  expect(readTimeRow(none)?.boot_id).toBeUndefined()
  for (let end = 0; end < row.length; end++) expect(readTimeRow(row.subarray(0, end))).toBeUndefined()
  expect(readTimeRow(Buffer.concat([row, Buffer.of(0)]))).toBeUndefined()
  expect(readTimeRow(Buffer.concat([Buffer.of(2), row.subarray(1)]))).toBeUndefined()
  const endless = Buffer.from(row)
  endless.writeDoubleBE(Number.NaN, 7)
  expect(readTimeRow(endless)).toBeUndefined()
})
