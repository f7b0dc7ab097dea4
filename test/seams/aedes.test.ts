/**
 * What src/broker/seams.ts takes for granted about Aedes, asked of Aedes alone: one block per seam named there. When an upgrade of Aedes makes one
 * of these fail, that seam has moved, and the block says what must be looked at.
 */
import { EventEmitter } from 'node:events'
import { Aedes } from 'aedes'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }

type Loose = Record<string, unknown>
type Shell = Aedes & Loose & { mq: Mq; clients: Loose; connectedClients: number; counter: number }

/** An emitter and a persistence that write down what Aedes asks of them. */
class Mq {
  readonly calls: unknown[][] = []
  on(topic: string, deliver: unknown, done?: () => void): void {
    this.calls.push(['on', topic, deliver])
    done?.()
  }
  removeListener(topic: string, deliver: unknown, done?: () => void): void {
    this.calls.push(['removeListener', topic, deliver])
    done?.()
  }
  emit(packet: { topic: string }, done: () => void): void {
    this.calls.push(['emit', packet.topic])
    done()
  }
  close(done: () => void): void {
    this.calls.push(['close'])
    done()
  }
}

class Persistence {
  readonly calls: unknown[][] = []
  async setup(broker: unknown): Promise<void> {
    this.calls.push(['setup', broker])
  }
}

/** Any method but those above is written down, too. */
function recording(): { persistence: object; calls: unknown[][] } {
  const real = new Persistence()
  const persistence = new Proxy(real, {
    get(target, name) {
      if (name in target) return target[name as keyof Persistence]
      return (...values: unknown[]) => {
        target.calls.push([name, ...values])
        return name === 'streamWill' ? [] : Promise.resolve([])
      }
    },
  })
  return { persistence, calls: real.calls }
}

const HEARTBEAT_MS = 100
let aedes: Shell
let mq: Mq
let calls: unknown[][]

beforeEach(async () => {
  vi.useFakeTimers()
  mq = new Mq()
  const made = recording()
  calls = made.calls
  aedes = new Aedes({ mq, persistence: made.persistence, heartbeatInterval: HEARTBEAT_MS }) as unknown as Shell
  Object.assign(aedes, { published: vi.fn() })
})

afterEach(async () => {
  await new Promise<void>((resolve) => aedes.close(resolve))
  vi.useRealTimers()
})

it('is the version that all this was read of', async () => {
  expect(aedes.version).toBe(packageJson.dependencies.aedes)
})

describe('1. opts.persistence', () => {
  it('is taken as it is and set up once, by listen, with the broker', async () => {
    await aedes.listen()
    expect(calls.filter(([name]) => name === 'setup')).toEqual([['setup', aedes]])
  })

  it('is refused when setup is no async function', async () => {
    const plain = new Aedes({ persistence: { setup: () => Promise.resolve() } })
    await expect(plain.listen()).rejects.toThrow('async')
  })

  it('is asked for nothing but wills while nobody is connected, once our publish stands in', async () => {
    Object.assign(aedes, { publish: vi.fn((_packet: unknown, done?: () => void) => done?.()) })
    await aedes.listen()
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS * 9)
    expect(new Set(calls.map(([name]) => name))).toEqual(new Set(['setup', 'streamWill']))
    expect(calls.filter(([name]) => name === 'streamWill').length).toBe(2)
  })
})

describe('2. opts.mq', () => {
  it('gets what programs subscribe and unsubscribe, and the end', async () => {
    await aedes.listen()
    mq.calls.length = 0
    const deliver = (): void => {}
    await new Promise<void>((resolve) => aedes.subscribe('a/#', deliver, resolve))
    await new Promise<void>((resolve) => aedes.unsubscribe('a/#', deliver, resolve))
    await new Promise<void>((resolve) => aedes.close(resolve))
    expect(mq.calls).toEqual([['on', 'a/#', deliver], ['removeListener', 'a/#', deliver], ['close']])
  })

  it('is listened to by Aedes itself on three $SYS topics', async () => {
    await aedes.listen()
    const topics = mq.calls.filter(([name]) => name === 'on').map(([, topic]) => topic)
    expect(topics).toEqual(['$SYS/+/heartbeat', '$SYS/+/birth', '$SYS/+/new/clients'])
  })
})

describe('3. broker.handle', () => {
  it('is a property of the instance that can be replaced', () => {
    expect(Object.getOwnPropertyDescriptor(aedes, 'handle')).toMatchObject({ writable: true, configurable: true })
    expect(aedes.handle.length).toBe(2)
  })
})

describe('4. broker.publish', () => {
  it('is called on the instance by Aedes itself: birth and heartbeat come through a replacement', async () => {
    const publish = vi.fn((_packet: { topic: string }, done?: () => void) => done?.())
    Object.assign(aedes, { publish })
    await aedes.listen()
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS)
    expect(publish.mock.calls.map(([packet]) => packet.topic)).toEqual([`$SYS/${aedes.id}/birth`, `$SYS/${aedes.id}/heartbeat`])
    expect(mq.calls.filter(([name]) => name === 'emit')).toEqual([])
  })

  it('takes (packet, done) and (packet, client, done), and tells published and publish', async () => {
    await aedes.listen()
    await vi.advanceTimersByTimeAsync(0)
    const heard: unknown[] = []
    const asked: unknown[] = []
    aedes.on('publish', (packet, client) => heard.push([packet.topic, client]))
    aedes.published = (packet, client, done) => {
      asked.push([packet.topic, client])
      done()
    }
    const loose = aedes as unknown as { publish(packet: object, client: unknown, done?: () => void): void }
    await new Promise<void>((resolve) => loose.publish({ cmd: 'publish', topic: 'a', payload: 'x' }, resolve))
    const client = { id: 'c' }
    await new Promise<void>((resolve) => loose.publish({ cmd: 'publish', topic: 'b', payload: 'x' }, client, resolve))
    expect(heard).toEqual([
      ['a', null],
      ['b', client],
    ])
    expect(asked).toEqual(heard)
  })
})

describe('5. hooks', () => {
  const names = ['preConnect', 'authenticate', 'authorizePublish', 'authorizeSubscribe', 'authorizeForward', 'published'] as const

  it('have defaults that are the same functions in every instance, so that a hook that nobody set can be told', () => {
    const one = new Aedes() as unknown as Loose
    const two = new Aedes({ id: 'x' }) as unknown as Loose
    for (const name of names) {
      expect(one[name]).toBe(two[name])
      expect(typeof one[name]).toBe('function')
    }
  })

  it('are read from the options and can be assigned later', () => {
    for (const name of names) {
      const hook = (): void => {}
      const made = new Aedes({ [name]: hook }) as unknown as Loose
      expect(made[name]).toBe(hook)
      expect(Object.getOwnPropertyDescriptor(made, name)?.writable).toBe(true)
    }
  })

  it('have the parameters that we pass', () => {
    const made = new Aedes() as unknown as Record<string, { length: number }>
    expect(names.map((name) => made[name].length)).toEqual([3, 4, 3, 3, 2, 3])
  })

  it('agree by default: (null, true), no error for an ordinary topic, the subscription and the packet themselves', () => {
    const made = new Aedes() as unknown as Record<string, (...values: unknown[]) => unknown>
    const answers: unknown[][] = []
    const done = (...values: unknown[]): void => void answers.push(values)
    made.preConnect({}, {}, done)
    made.authenticate({}, 'u', 'p', done)
    made.authorizePublish({}, { topic: 'a' }, done)
    const subscription = { topic: 'a', qos: 1 }
    made.authorizeSubscribe({}, subscription, done)
    made.published({}, {}, done)
    expect(answers).toEqual([[null, true], [null, true], [null], [null, subscription], [null]])
    const packet = { topic: 'a' }
    expect(made.authorizeForward({}, packet)).toBe(packet)
  })

  it('refuse $SYS by default: our own rule for reserved topics stands in for that', () => {
    const made = new Aedes()
    let refused: unknown
    made.authorizePublish(null, { topic: '$SYS/x' } as never, (error) => {
      refused = error
    })
    expect(refused).toBeInstanceOf(Error)
  })
})

describe('6. clients, connectedClients, counter', () => {
  it('are there and empty, and without a prototype that a client id could name', async () => {
    await aedes.listen()
    expect(Object.getPrototypeOf(aedes.clients)).toBe(null)
    expect([Object.keys(aedes.clients), aedes.connectedClients, aedes.closed]).toEqual([[], 0, false])
    expect(typeof aedes.counter).toBe('number')
    expect(aedes).toBeInstanceOf(EventEmitter)
  })

  it('close ends every client through close(done), then tells closed', async () => {
    await aedes.listen()
    const log: string[] = []
    for (const id of ['one', 'two']) {
      const close = (done: () => void): void => {
        log.push(id)
        done()
      }
      aedes.clients[id] = { close }
    }
    aedes.on('closed', () => log.push('closed'))
    await new Promise<void>((resolve) => aedes.close(resolve))
    expect(log).toEqual(['one', 'two', 'closed'])
    expect(aedes.closed).toBe(true)
  })

  it('of other brokers: a client that connects elsewhere is closed here, and a birth clears duplicates', async () => {
    await aedes.listen()
    const closed = vi.fn((done: () => void) => done())
    const duplicates = { other: 7 }
    aedes.clients.c1 = { closed: false, close: closed, duplicates }
    const listener = (topic: string) =>
      mq.calls.find(([name, at]) => name === 'on' && at === topic)?.[2] as (packet: object, done: () => void) => void
    listener('$SYS/+/birth')({ topic: '$SYS/other/birth', payload: Buffer.from('other') }, () => {})
    expect(duplicates).toEqual({})
    listener('$SYS/+/new/clients')({ topic: '$SYS/other/new/clients', payload: Buffer.from('c1') }, () => {})
    expect(closed).toHaveBeenCalledOnce()
  })
})
