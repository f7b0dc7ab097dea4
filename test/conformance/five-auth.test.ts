/** Enhanced authentication of MQTT 5 [MQTT 5.0 4.12]: AUTH before CONNACK and after it. The method is a toy; what is tested is the talk. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuthMethod } from '../../src/broker/auth-method.js'
import type { Plugin } from '../../src/broker/plugin.js'
import {
  arrived,
  type ClockedBroker,
  delivered,
  type MqttClient,
  openWith,
  type Packet,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { join, type Props, said } from './five.js'

const METHOD = 'TOY'
const CONTINUE = 0x18
const AGAIN = 0x19

/** `yes` proves it, `no` is refused, anything else is asked on. */
const toy: AuthMethod = {
  name: METHOD,
  begin() {
    let asked = 0
    return {
      step(data) {
        const text = data?.toString() ?? ''
        if (text === 'no') return { kind: 'refused', reason: 'you said no, and that is a long sentence about it' }
        if (text === 'yes') return { kind: 'done', identity: 'me', data: Buffer.from('welcome') }
        return { kind: 'continue', data: Buffer.from(`more ${++asked}`) }
      },
    }
  },
}
const plugin: Plugin = { name: 'toy', setup: (api) => api.authenticateWith(toy) }

let b: ClockedBroker
let witness: MqttClient
beforeAll(async () => {
  b = await startClocked({ plugins: [plugin], settings: { connect_timeout_s: 10 } })
  witness = await join(b.port, 'witness')
  await witness.subscribe(['auth/#', 1])
})
afterAll(() => b.close())

const auth = (code: number, text: string | undefined, method: string | null = METHOD): Buffer =>
  packet.reason(T.AUTH, code, {
    ...(method === null ? {} : { authenticationMethod: method }),
    ...(text === undefined ? {} : { authenticationData: Buffer.from(text) }),
  })

function hello(text: string | undefined, props: Props = {}): Buffer {
  const data = text === undefined ? {} : { authenticationData: Buffer.from(text) }
  return packet.connect({
    protocol: 5,
    client_id: 'toy',
    properties: { authenticationMethod: METHOD, ...data, ...props },
    will: { topic: 'auth/will', payload: 'gone' },
  })
}

const open = (bytes: Buffer) => openWith(b.port, bytes, { protocol: 5 })
/** `AUTH 18 TOY more 1`: a packet with its method and data. */
const told = (p: Packet): string =>
  [...said([p]), p.properties.authenticationMethod, p.properties.authenticationData?.toString()].join(' ').trimEnd()

/** A client that has got in with `yes`. */
async function inside(): Promise<MqttClient> {
  const client = await open(hello('yes'))
  expect(told(await client.next())).toBe('CONNACK 0 TOY welcome')
  return client
}

describe('before CONNACK', () => {
  test('the server asks on with AUTH 0x18, and every packet names the method [MQTT-4.12.0-2] [MQTT-4.12.0-5]', async () => {
    const client = await open(hello('hello'))
    expect(told(await client.next())).toBe('AUTH 18 TOY more 1')
    client.send(auth(CONTINUE, 'what'))
    expect(told(await client.next())).toBe('AUTH 18 TOY more 2')
    client.send(auth(CONTINUE, undefined))
    expect(told(await client.next())).toBe('AUTH 18 TOY more 3')
    client.send(auth(CONTINUE, 'yes'))
    expect(told(await client.next())).toBe('CONNACK 0 TOY welcome')
    expect(await arrived(client)).toEqual([])
    await client.disconnect()
  })

  test('a refusal is a CONNACK of 0x80 or more, and the end; nothing of the client has happened [MQTT-4.12.0-4]', async () => {
    const late = packet.publish('auth/late', 'x', { properties: {} })
    for (const first of ['no', 'hello']) {
      const client = await open(Buffer.concat([hello(first), ...(first === 'no' ? [late] : [])]))
      if (first !== 'no') {
        expect(told(await client.next())).toBe('AUTH 18 TOY more 1')
        client.send(Buffer.concat([auth(CONTINUE, 'no'), late]))
      }
      const [connack, ...rest] = await untilClosed(client)
      expect([connack.type, connack.present, rest]).toEqual([T.CONNACK, false, []])
      expect(connack.code).toBeGreaterThanOrEqual(0x80)
    }
    expect(await delivered(witness)).toEqual([])
  })

  test('other packets, other methods and other codes end it', async () => {
    const wrong: readonly [string, Buffer][] = [
      ['PINGREQ', packet.pingreq()],
      ['PUBLISH', packet.publish('auth/early', 'x', { properties: {} })],
      ['a second CONNECT', hello('yes')],
      ['another method', auth(CONTINUE, 'yes', 'OTHER')],
      ['no method', auth(CONTINUE, 'yes', null)],
      ['authenticate again', auth(AGAIN, 'yes')],
      ['success', auth(0, 'yes')],
    ]
    for (const [what, bytes] of wrong) {
      const client = await open(hello('hello'))
      await client.expect(T.AUTH)
      client.send(bytes)
      const rest = await untilClosed(client)
      // With or without a CONNACK that says why; never with DISCONNECT [MQTT-3.14.0-1].
      expect(rest.length, what).toBeLessThanOrEqual(1)
      for (const p of rest) expect([p.type, p.code >= 0x80], what).toEqual([T.CONNACK, true])
    }
    expect(await delivered(witness)).toEqual([])
  })

  test('who stops answering is closed in time, and DISCONNECT ends it at once', async () => {
    const client = await open(hello('hello'))
    await client.expect(T.AUTH)
    b.clock.advance(11_000)
    for (const p of await untilClosed(client)) expect(p.type).toBe(T.CONNACK)
    const other = await open(hello('hello'))
    await other.expect(T.AUTH)
    other.send(packet.reason(T.DISCONNECT, 0, {}))
    expect((await untilClosed(other)).filter((p) => p.code === 0)).toEqual([])
    expect(await delivered(witness)).toEqual([])
  })

  test('AUTH keeps to Maximum Packet Size, without reason string and user properties [MQTT-3.15.2-2] [MQTT-3.15.2-3]', async () => {
    for (let size = 1; size < 60; size++) {
      const client = await open(hello('hello', { maximumPacketSize: size, requestProblemInformation: 1 }))
      let bytes = 0
      client.socket.on('data', (chunk: Buffer) => {
        bytes = Math.max(bytes, chunk.length)
      })
      const first = await client.next().catch(() => undefined)
      expect(bytes).toBeLessThanOrEqual(size)
      if (first?.type === T.AUTH) {
        expect([first.properties.reasonString, first.properties.userProperties]).toEqual([undefined, undefined])
        client.send(auth(CONTINUE, 'no'))
        await untilClosed(client)
        expect(bytes).toBeLessThanOrEqual(size)
      }
      client.destroy()
    }
  })
})

describe('after CONNACK', () => {
  test('the client authenticates again while everything else goes on', async () => {
    const client = await inside()
    for (const asks of [1, 2]) {
      client.send(auth(AGAIN, 'hello'))
      expect(told(await client.next())).toBe('AUTH 18 TOY more 1')
      expect(await client.subscribe([`auth/own/${asks}`, 1])).toEqual([1])
      await client.publishAndWait(`auth/own/${asks}`, 'x', { qos: 1, properties: {} })
      expect(await client.expect(T.PUBLISH)).toMatchObject({ topic: `auth/own/${asks}` })
      client.send(packet.puback(asks))
      client.send(auth(CONTINUE, 'yes'))
      expect(told(await client.next())).toBe('AUTH 0 TOY welcome')
    }
    client.send(auth(AGAIN, 'yes'))
    expect(told(await client.next())).toBe('AUTH 0 TOY welcome')
    await client.disconnect()
    expect((await delivered(witness)).length).toBe(2)
  })

  test('when that fails, the connection ends with DISCONNECT, and the will is sent [MQTT-4.12.1-2]', async () => {
    for (const steps of [['no'], ['hello', 'no']]) {
      const client = await inside()
      for (const [n, step] of steps.entries()) {
        client.send(auth(n === 0 ? AGAIN : CONTINUE, step))
        if (step !== 'no') await client.expect(T.AUTH)
      }
      expect(said(await untilClosed(client))).toEqual(['DISCONNECT 87'])
      expect(await witness.expect(T.PUBLISH)).toMatchObject({ topic: 'auth/will' })
    }
  })

  test('another method than that of CONNECT ends it, and so does an answer that nobody asked for', async () => {
    for (const bytes of [auth(AGAIN, 'yes', 'OTHER'), auth(AGAIN, 'yes', null), auth(CONTINUE, 'yes'), auth(0, 'yes')]) {
      const client = await inside()
      client.send(bytes)
      const [last, ...rest] = await untilClosed(client)
      expect([last.type, rest]).toEqual([T.DISCONNECT, []])
      expect([0x81, 0x82, 0x8c, 0x87]).toContain(last.code)
      await witness.expect(T.PUBLISH)
    }
  })
})

test('without a method there is no AUTH, and CONNACK names none', async () => {
  const client = await join(b.port, 'plain')
  expect(told(client.connack as Packet)).toBe('CONNACK 0')
  expect(await arrived(client)).toEqual([])
  await client.disconnect()
})
