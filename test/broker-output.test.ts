import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { LARGE_SLAB_BYTES, Output, SlabPool } from '../src/broker/output.js'
import { BrokerStats } from '../src/broker/stats.js'
import type { Transport } from '../src/broker/transport.js'
import { startTestApp } from './support/broker.js'

/** Keeps what is written as one text per write; the slabs come back at once. */
class Writes implements Transport {
  readonly texts: string[] = []
  readonly remote = 'test'
  readonly stream = undefined
  readonly request = undefined
  readonly pendingBytes = 0
  write(bytes: Buffer): boolean {
    this.texts.push(bytes.toString('latin1'))
    return true
  }
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

describe('the count of bytes sent', () => {
  it('is what the transports were given, over all connections of a pool', () => {
    const stats = new BrokerStats()
    const pool = new SlabPool(stats)
    const writes = [new Writes(), new Writes()]
    const [a, b] = writes.map((to) => new Output(pool, to))
    a?.put(Buffer.from('first'))
    a?.put(Buffer.from('second'))
    expect(stats.bytesSent).toBe(0)
    a?.flush()
    a?.flush()
    expect(stats.bytesSent).toBe(11)

    // Neighbouring stretches of a read buffer, and a large packet that goes out in more than one write.
    b?.pass(Buffer.from('passed on'), 0, 6)
    b?.put(Buffer.alloc(LARGE_SLAB_BYTES - 5, 'x'))
    b?.put(Buffer.alloc(2 * LARGE_SLAB_BYTES, 'y'))
    b?.flush()
    expect(writes[1]?.texts.length).toBeGreaterThan(1)
    expect(stats.bytesSent).toBe(writes.flatMap((w) => w.texts).join('').length)
    expect(stats.bytesSent).toBe(11 + 6 + 3 * LARGE_SLAB_BYTES - 5)
  })

  it('leaves out what was dropped', () => {
    const stats = new BrokerStats()
    const output = new Output(new SlabPool(stats), new Writes())
    output.put(Buffer.from('never'))
    output.drop()
    output.flush()
    expect(stats.bytesSent).toBe(0)
  })
})

describe('a running broker', () => {
  let close = async (): Promise<void> => {}
  afterEach(() => close())

  it('shows it in its metrics', async () => {
    const app = await startTestApp()
    close = app.close
    const shown = async (): Promise<string | undefined> => {
      const text = await (await fetch(`http://127.0.0.1:${app.httpPort}/metrics`)).text()
      return /^aqueduct_bytes_sent_total (\d+)$/m.exec(text)?.[1]
    }
    expect(await shown()).toBe('0')
    const socket = connect(app.mqttPort, '127.0.0.1')
    socket.write(Buffer.from('100d00044d51545404020000000178', 'hex'))
    const [connack] = (await once(socket, 'data')) as [Buffer]
    expect(connack.toString('hex')).toBe('20020000')
    expect(await shown()).toBe('4')
    socket.destroy()
  })
})
