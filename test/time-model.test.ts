/**
 * Sessions and wills under random commands, crashes and downtimes included, beside the model: sessions end exactly when they should, each will is sent
 * exactly once or never, and the store holds a row for what is still to come and for nothing else.
 *
 * MODEL_RUNS=2000 npx vitest run test/time-model.test.ts
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { payloadOf } from '../src/broker/message.js'
import type { KeyRange } from '../src/store/disk.js'
import * as keys from '../src/store/keys.js'
import { type Ask, NEVER, TimeModel } from './model/time-model.js'
import { type ClockedBroker, MqttClient, packet, startClocked, T } from './support/broker.js'

const RUNS = Number(process.env.MODEL_RUNS ?? 60)
/** Everything happens at a multiple of what the broker looks at time in. */
const GRAIN_MS = 250

type Step =
  | { readonly do: 'connect'; readonly id: string; readonly ask: Ask; readonly version: 4 | 5 }
  | { readonly do: 'lose'; readonly id: string }
  | { readonly do: 'bye'; readonly id: string; readonly reason: 0 | 4; readonly expiry_s: number | undefined }
  | { readonly do: 'wait'; readonly grains: number }
  | { readonly do: 'step'; readonly grains: number }
  | { readonly do: 'stop'; readonly grains: number }
  | { readonly do: 'crash'; readonly grains: number }
  /** The step before it is on its way to the disk when the broker dies: it happened (`applied`) or it did not. */
  | {
      readonly do: 'cut'
      readonly step: Exclude<Step, { do: 'cut' | 'stop' | 'crash' | 'wait' | 'step' }>
      readonly applied: boolean
      readonly grains: number
    }

const id = fc.constantFrom('a', 'b')
const seconds = fc.constantFrom(0, 1, 5, 20, NEVER)
const grains = fc.oneof(fc.nat({ max: 8 }), fc.nat({ max: 100 }))
const ask = fc.record({ clean: fc.boolean(), expiry_s: seconds, delay_s: fc.constantFrom(undefined, 0, 1, 4, 10, 30) })
const connect = fc.record({
  do: fc.constant('connect' as const),
  id,
  ask,
  version: fc.constantFrom(4 as const, 5 as const, 5 as const),
})
const lose = fc.record({ do: fc.constant('lose' as const), id })
const bye = fc.record({
  do: fc.constant('bye' as const),
  id,
  reason: fc.constantFrom(0 as const, 4 as const),
  expiry_s: fc.option(seconds, { nil: undefined }),
})
const wait = fc.record({ do: fc.constant('wait' as const), grains })
const clockStep = fc.record({ do: fc.constant('step' as const), grains: fc.integer({ min: -40, max: 40 }) })
const stop = fc.record({ do: fc.constant('stop' as const), grains })
const crash = fc.record({ do: fc.constant('crash' as const), grains })
const cut = fc.record({ do: fc.constant('cut' as const), step: fc.oneof(connect, lose, bye), applied: fc.boolean(), grains })
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: connect, weight: 6 },
  { arbitrary: lose, weight: 4 },
  { arbitrary: bye, weight: 2 },
  { arbitrary: wait, weight: 6 },
  { arbitrary: clockStep, weight: 1 },
  { arbitrary: stop, weight: 1 },
  { arbitrary: crash, weight: 2 },
  { arbitrary: cut, weight: 2 },
)

class Real {
  b!: ClockedBroker
  readonly clients = new Map<string, { client: MqttClient; version: 4 | 5; expiry_s: number }>()

  async start(before?: ClockedBroker): Promise<void> {
    // 0: a session may live for ever.
    const settings = { session_expiry_s: 0 }
    this.b = await startClocked(before === undefined ? { settings } : { settings, after: before.disk, clock: before.clock })
    this.clients.clear()
    if (before === undefined) this.witness()
  }

  /** A stored session that nobody reads: what was sent is what waits in it. */
  private witness(): void {
    const { sessions } = this.stored
    sessions.subscribe(sessions.openOffline('witness'), 'w/#', { qos: 1, noLocal: false, retainAsPublished: false })
  }

  get stored() {
    const { stored } = this.b.broker.state
    if (stored === null) throw new Error('the store is not open')
    return stored
  }

  async sent(): Promise<number[]> {
    const mailbox = this.stored.sessions.get('witness')?.mailbox
    const found: number[] = []
    if (mailbox !== undefined)
      for await (const boxed of mailbox.browse()) {
        const message = await boxed.read()
        if (message !== undefined) found.push(Number(payloadOf(message).toString()))
      }
    return found
  }

  async rows(range: KeyRange): Promise<number> {
    let count = 0
    for await (const { key } of this.b.disk.scan(range)) if (key.length > 0) count++
    return count
  }

  connection(name: string) {
    return [...this.b.broker.state.connections].find((c) => c.id === name)
  }

  /** Lets the loop turn until `done`. */
  async until(done: () => boolean): Promise<void> {
    for (let turn = 0; !done(); turn++) {
      if (turn > 10_000) throw new Error('it does not happen')
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async settled(): Promise<void> {
    await this.stored.store.journal.flush()
  }
}

function options(s: Extract<Step, { do: 'connect' }>, n: number) {
  const { delay_s, clean, expiry_s } = s.ask
  const five = s.version === 5
  const will = {
    topic: `w/${s.id}`,
    payload: String(n),
    qos: 1 as const,
    ...(five ? { properties: { willDelayInterval: delay_s ?? 0 } } : {}),
  }
  return {
    client_id: s.id,
    clean,
    protocol: s.version,
    ...(five ? { properties: { sessionExpiryInterval: expiry_s } } : {}),
    ...(delay_s === undefined ? {} : { will }),
  }
}

/** 3.1.1 cannot say how long, and has no delay. */
function meant(s: Extract<Step, { do: 'connect' }>): Ask {
  if (s.version === 5) return s.ask
  return { clean: s.ask.clean, expiry_s: s.ask.clean ? 0 : NEVER, delay_s: s.ask.delay_s === undefined ? undefined : 0 }
}

/** Changes the model as the broker should change. */
function modelStep(model: TimeModel, real: Real, s: Step): boolean | undefined {
  switch (s.do) {
    case 'connect':
      return model.connect(s.id, meant(s))
    case 'lose':
      model.leave(s.id, true)
      return undefined
    case 'bye': {
      const { version, expiry_s } = real.clients.get(s.id) ?? {}
      if (version === 4) model.leave(s.id, false)
      // One that had none may not ask for one.
      else model.leave(s.id, s.reason === 4, expiry_s === 0 ? undefined : s.expiry_s)
      return undefined
    }
  }
  return undefined
}

/** Sends what the step says; resolves when the broker has taken it, which may be before it is stored. */
async function realStep(real: Real, s: Step, n: number): Promise<void> {
  const known = 'id' in s ? real.clients.get(s.id) : undefined
  if (s.do === 'connect') {
    const was = real.connection(s.id)
    const client = await MqttClient.open(real.b.port, options(s, n))
    real.clients.set(s.id, { client, version: s.version, expiry_s: meant(s).expiry_s })
    client.send(packet.connect(options(s, n)))
    await real.until(() => {
      const c = real.connection(s.id)
      return c !== undefined && c !== was && c.session !== null
    })
    return
  }
  if ((s.do !== 'lose' && s.do !== 'bye') || known === undefined) return
  const connection = real.connection(s.id)
  if (s.do === 'lose') known.client.destroy()
  else if (known.version === 4) known.client.send(packet.disconnect())
  else {
    const props = s.expiry_s === undefined || known.expiry_s === 0 ? {} : { sessionExpiryInterval: s.expiry_s }
    known.client.send(packet.reason(T.DISCONNECT, s.reason, props))
  }
  real.clients.delete(s.id)
  await real.until(() => connection === undefined || !real.b.broker.state.connections.has(connection))
}

async function apply(model: TimeModel, real: Real, s: Step): Promise<void> {
  const { clock } = real.b
  switch (s.do) {
    case 'wait':
      for (let i = 0; i < s.grains; i++) {
        clock.advance(GRAIN_MS)
        model.now += GRAIN_MS
        model.tick()
      }
      return
    case 'step':
      clock.step(s.grains * GRAIN_MS)
      // Nothing happens by it, also when the broker has looked.
      return apply(model, real, { do: 'wait', grains: 1 })
    case 'stop': {
      await real.settled()
      const before = real.b
      await before.close()
      clock.advance(s.grains * GRAIN_MS)
      model.restart(true, s.grains * GRAIN_MS)
      await real.start(before)
      return
    }
    case 'crash': {
      await real.settled()
      const before = real.b
      await before.die()
      clock.advance(s.grains * GRAIN_MS)
      model.restart(false, s.grains * GRAIN_MS)
      await real.start(before)
      return
    }
    case 'cut': {
      await real.settled()
      const before = real.b
      before.disk.holding = true
      const n = model.nextWill
      if (s.applied) {
        modelStep(model, real, s.step)
        await realStep(real, s.step, n)
      } else await realStep(real, s.step, n)
      // The commit is at the disk, if there is one.
      await new Promise((resolve) => setImmediate(resolve))
      await before.die(s.applied)
      clock.advance(s.grains * GRAIN_MS)
      model.restart(false, s.grains * GRAIN_MS)
      await real.start(before)
      return
    }
    default: {
      const n = model.nextWill
      const present = modelStep(model, real, s)
      await realStep(real, s, n)
      if (s.do !== 'connect') return
      const { client } = real.clients.get(s.id) ?? {}
      expect((await client?.expect(T.CONNACK))?.present).toBe(present)
    }
  }
}

/** The broker is where the model is. */
async function compare(model: TimeModel, real: Real): Promise<void> {
  await real.settled()
  const { sessions, wills } = real.stored
  let stored = 1
  for (const [name, c] of model.clients) {
    expect(sessions.get(name) !== undefined, `the session of ${name}`).toBe(c.ends !== undefined)
    if (sessions.get(name)?.durable === true) stored++
  }
  expect((await real.sent()).sort((x, y) => x - y)).toEqual([...model.sent].sort((x, y) => x - y))
  expect(await real.rows(keys.sessions)).toBe(stored)
  expect(await real.rows(keys.queueDefinitions)).toBe(stored)
  expect(await real.rows(keys.wills)).toBe(model.kept)
  expect(wills.waiting).toBe([...model.clients.values()].filter((c) => c.waiting !== undefined).length)
}

test('sessions end when they should and each will is sent once, at its time, whatever dies', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30, size: 'max' }), async (steps) => {
      const real = new Real()
      await real.start()
      const model = new TimeModel(real.b.clock.now())
      try {
        for (const s of steps) {
          await apply(model, real, s)
          await compare(model, real)
        }
      } finally {
        await real.b.die()
      }
    }),
    { numRuns: RUNS },
  )
})
