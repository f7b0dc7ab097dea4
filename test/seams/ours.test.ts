/** The same seams from our side: that the `Aedes` object which users hold stands on our parts. */
import { Aedes } from 'aedes'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Aqueduct, createAqueduct } from '../../src/app.js'
import { Connection } from '../../src/broker/connection.js'
import { AedesPersistence } from '../../src/broker/persistence.js'

let aqueduct: Aqueduct
let aedes: Aedes & Record<string, unknown>

beforeEach(async () => {
  aqueduct = await createAqueduct({ store: { durability: 'memory' }, aedes: { heartbeatInterval: 5 } })
  aedes = aqueduct.aedes as typeof aedes
})
afterEach(() => aqueduct.close())

describe('the broker object', () => {
  it('is an Aedes with our persistence, emitter, handle and publish', () => {
    expect(aedes).toBeInstanceOf(Aedes)
    expect(aedes.persistence).toBeInstanceOf(AedesPersistence)
    for (const name of ['handle', 'publish']) {
      expect(Object.hasOwn(aedes, name)).toBe(true)
      expect(aedes[name]).not.toBe((Aedes.prototype as unknown as Record<string, unknown>)[name])
    }
  })

  it('pays for no hook that nobody set, and sees one that is set at any moment', () => {
    const { hooks } = aqueduct.broker.state
    const set = () => [hooks.gatesConnect, hooks.gatesPublish, hooks.gatesSubscribe, hooks.gatesForward, hooks.observesPublish]
    expect(set()).toEqual([false, false, false, false, false])
    aedes.authenticate = (_client, _username, _password, done) => done(null, true)
    aedes.authorizePublish = (_client, _packet, done) => done(null)
    aedes.authorizeSubscribe = (_client, subscription, done) => done(null, subscription)
    aedes.authorizeForward = (_client, packet) => packet
    aedes.on('publish', () => {})
    expect(set()).toEqual([true, true, true, true, true])
  })

  it('hands out no wills to the sweep of Aedes, and survives it', async () => {
    const streamWill = vi.spyOn(aedes.persistence as AedesPersistence, 'streamWill')
    const wrong = vi.fn()
    aedes.on('error' as never, wrong as never)
    await (aedes.persistence as AedesPersistence).putWill({ id: 'c' }, { topic: 'w', payload: 'x', qos: 0, retain: false })
    await vi.waitFor(() => expect(streamWill.mock.results.length).toBeGreaterThan(1))
    expect(wrong).not.toHaveBeenCalled()
    expect((await (aedes.persistence as AedesPersistence).getWill({ id: 'c' }))?.topic).toBe('w')
  })

  it('survives what another broker would tell it', () => {
    const sys = (name: string, payload: string): void =>
      aedes.publish({ topic: `$SYS/other/${name}`, payload } as never, () => {})
    const client = {
      closed: false,
      close: vi.fn(),
      duplicates: Object.getOwnPropertyDescriptor(Connection.prototype, 'duplicates')?.get?.call({}),
    }
    ;(aedes.clients as Record<string, unknown>).c1 = client
    expect(() => sys('birth', 'other')).not.toThrow()
    expect(() => sys('new/clients', 'c1')).not.toThrow()
    expect(client.close).toHaveBeenCalledOnce()
    delete (aedes.clients as Record<string, unknown>).c1
  })
})
