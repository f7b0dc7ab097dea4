/**
 * Whatever a client sends while it authenticates, before CONNACK or after: the broker says what a model of section 4.12 says, in order, and holds nothing
 * afterwards. A run that fails prints the seed that repeats it.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { AuthStep, Plugin } from '../../src/index.js'
import { type ClockedBroker, openWith, packet, startClocked, T, untilClosed } from '../support/broker.js'

let b: ClockedBroker
let open = 0

const ANSWERS: Record<string, () => AuthStep> = {
  more: () => ({ kind: 'continue', data: Buffer.from('and?') }),
  ann: () => ({ kind: 'done', identity: 'ann' }),
  bob: () => ({ kind: 'done', identity: 'bob' }),
  no: () => ({ kind: 'refused', reason: 'because' }),
  broken: () => {
    throw new Error('broken')
  },
}
const plugin: Plugin = {
  name: 'scripted',
  setup: (api) =>
    api.authenticateWith({
      name: 'TEST',
      begin() {
        open++
        return {
          step(data) {
            const [how, what] = `${data}`.split(' ')
            if (what !== 'more') open--
            if (how === 'now') return ANSWERS[what]()
            return new Promise((resolve) => setImmediate(resolve)).then(ANSWERS[what])
          },
          abandoned: () => void open--,
        }
      },
    }),
}

beforeAll(async () => {
  b = await startClocked({ plugins: [plugin] })
})
afterAll(() => b.close())

type Action =
  | { kind: 'auth'; reason: number; method: string | undefined; data: string }
  | { kind: 'ping' | 'connect' | 'disconnect' }

/** What is said, as `type reason`, when `first` is the data of CONNECT and `actions` follow. */
function model(first: string, actions: readonly Action[]): string[] {
  const said: string[] = []
  let accepted = false
  let under = true
  let user: string | undefined
  let over = false
  const end = (reason: number): void => {
    said.push(`${accepted ? T.DISCONNECT : T.CONNACK} ${reason}`)
    over = true
  }
  const step = (data: string): void => {
    under = data === 'more'
    if (data === 'more') said.push(`${T.AUTH} ${0x18}`)
    else if (data === 'no') end(0x87)
    else if (data === 'broken') end(0x80)
    else if (user !== undefined && user !== data) end(0x87)
    else {
      user = data
      said.push(`${accepted ? T.AUTH : T.CONNACK} 0`)
      accepted = true
    }
  }
  step(first.split(' ')[1])
  for (const action of actions) {
    if (over) break
    if (action.kind === 'disconnect') over = true
    else if (action.kind !== 'auth') {
      if (action.kind === 'ping' && accepted) said.push(`${T.PINGRESP} 0`)
      else end(0x82)
    } else if (![0, 0x18, 0x19].includes(action.reason)) end(0x81)
    else if (action.method !== 'TEST') end(0x82)
    else if (action.reason === 0x18 ? under : action.reason === 0x19 && accepted && !under) step(action.data.split(' ')[1])
    else end(0x82)
  }
  return said
}

function bytesOf(action: Action): Buffer {
  if (action.kind === 'ping') return packet.pingreq()
  if (action.kind === 'disconnect') return packet.disconnect()
  if (action.kind !== 'auth') return packet.connect({ protocol: 5, properties: { authenticationMethod: 'TEST' } })
  const { reason, method, data } = action
  const properties = method === undefined ? {} : { authenticationMethod: method, authenticationData: Buffer.from(data) }
  return packet.reason(T.AUTH, reason, properties)
}

const outcome = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('more', 'ann') }, fc.constantFrom('bob', 'no', 'broken'))
// What comes while a method thinks after CONNACK depends on how the bytes were cut; there it answers at once.
const now = outcome.map((what) => `now ${what}`)
const either = fc.tuple(fc.constantFrom('now', 'later'), outcome).map((parts) => parts.join(' '))
const auth = fc.record({
  kind: fc.constant('auth' as const),
  reason: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(0x18, 0x19) }, fc.constantFrom(0, 1, 0x87)),
  method: fc.oneof({ weight: 9, arbitrary: fc.constant('TEST') }, fc.constantFrom('OTHER', undefined)),
  data: now,
})
const other = fc.constantFrom('ping', 'ping', 'connect', 'disconnect').map((kind) => ({ kind }) as Action)
const action = fc.oneof({ weight: 5, arbitrary: auth }, { weight: 1, arbitrary: other })

it('says what the model says, and holds nothing afterwards', async () => {
  await fc.assert(
    fc.asyncProperty(either, fc.array(action, { maxLength: 8 }), async (first, actions) => {
      const connect = packet.connect({
        protocol: 5,
        client_id: 'c',
        properties: { authenticationMethod: 'TEST', authenticationData: Buffer.from(first) },
      })
      const all: Action[] = [...actions, { kind: 'disconnect' }]
      const client = await openWith(b.port, Buffer.concat([connect, ...all.map(bytesOf)]), { protocol: 5 })
      const said = (await untilClosed(client)).map((p) => `${p.type} ${p.code}`)
      expect(said).toEqual(model(first, all))
      expect([open, b.broker.state.connections.size, Object.keys(b.broker.aedes.clients)]).toEqual([0, 0, []])
    }),
    { numRuns: 300 },
  )
})
