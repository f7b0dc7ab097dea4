/** The seams for plugins in the middle of an admission: who serves a reserved level, and what a taker is given. */
import { afterEach, expect, test } from 'vitest'
import type { Inbound } from '../src/broker/message.js'
import { payloadOf, topicOf } from '../src/broker/message.js'
import { type Space, Spaces } from '../src/broker/spaces.js'
import { Taker } from '../src/broker/taker.js'
import { type ClockedBroker, delivered, MqttClient, startClocked } from './support/broker.js'

let b: ClockedBroker | undefined
afterEach(async () => {
  await b?.close()
  b = undefined
})

class Publishing implements Space {
  seen = 0
  publish(): number {
    return ++this.seen
  }
}

class Subscribing implements Space {
  joined = 0
  asks(): number {
    return 1
  }
  join(): void {
    this.joined++
  }
}

test('one plugin may serve what is published to a level and another who subscribes it, in either order', () => {
  for (const order of [0, 1]) {
    const spaces = new Spaces()
    const [publishing, subscribing] = [new Publishing(), new Subscribing()]
    for (const half of order === 0 ? [publishing, subscribing] : [subscribing, publishing]) spaces.serve('$queue', half)
    const space = spaces.of('$queue/a')
    expect(space?.publish?.({} as Inbound)).toBe(1)
    expect(space?.asks?.({} as never, '$queue/a', {} as never)).toBe(1)
    space?.join?.({} as never, '$queue/a', {} as never)
    expect([publishing.seen, subscribing.joined]).toEqual([1, 1])
    expect(spaces.isClosed('$queue/a')).toBe(false)
    expect(() => spaces.serve('$queue', new Publishing())).toThrow('published to $queue')
    expect(() => spaces.serve('$queue', new Subscribing())).toThrow('subscribes $queue')
  }
})

test('a taker is given every message with room for a packet identifier, QoS 0 too, and others still get theirs', async () => {
  b = await startClocked()
  const taken: string[] = []
  class Keeping extends Taker {
    take(m: Inbound): boolean {
      const body = m.buffer.subarray(m.bodyStart, m.end)
      taken.push(`${topicOf(m)} ${payloadOf(m)} ${body.length}`)
      return false
    }
  }
  b.broker.state.routes.addTaker(new Keeping('a/#'))
  const [from, to] = [await MqttClient.connect(b.port), await MqttClient.connect(b.port)]
  await to.subscribe(['a/b', 1])
  for (const qos of [0, 1] as const) from.publish('a/b', 'text', { qos })
  await from.ping()
  expect(taken).toEqual(['a/b text 11', 'a/b text 11'])
  expect(await delivered(to)).toEqual(['a/b text q0', 'a/b text q1'])
})
