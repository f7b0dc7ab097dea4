/**
 * Every place where we touch Aedes from outside its documented options, in one file. Each has a test in test/seams/ that fails when an
 * upgrade of Aedes moves it.
 *
 * 1. `opts.persistence` — ours (persistence.ts). Its `streamWill` yields nothing: Aedes's own sweep would send our wills a second time.
 * 2. `opts.mq`          — a view of the routing table: calls back at once, never waits for a subscriber.
 * 3. `broker.handle`    — an instance property of Aedes; ours makes a `Connection`.
 * 4. `broker.publish`   — Aedes makes three separate calls (retained, enqueue, emit); ours is one admission and one commit.
 * 5. hook defaults      — recognised by identity on an instance made for that purpose, so that unset hooks cost nothing.
 * 6. `broker.clients`, `connectedClients`, `counter` — kept by us as Aedes keeps them; plug-ins read them.
 */

import type { Duplex } from 'node:stream'
import { Aedes, type AedesOptions } from 'aedes'
import { admitOutgoing, REFUSED_FULL } from './admission.js'
import { bytesOf, type ClientPacket, givenOr } from './client-api.js'
import { Connection } from './connection.js'
import { type AedesInstance, type HookDefaults, Hooks } from './hooks.js'
import { Listener } from './session.js'
import type { BrokerState } from './state.js'
import type { Accept } from './transport.js'

type Done = ((error?: Error | null) => void) | undefined
type Deliver = (packet: object, done: () => void) => void

/** Makes a transport out of what `aedes.handle` is given and hands it to `accept`; from the listeners room, given by app.ts. */
export type AttachStream = (stream: Duplex, request: unknown, accept: Accept) => void

/** Options of Aedes that stay the user's: the parts that are ours cannot be set. */
export type UserOptions = Omit<AedesOptions, 'persistence' | 'mq'>

let defaults: HookDefaults | undefined

/** Aedes's own hooks, taken from an instance that is never started. */
function hookDefaults(): HookDefaults {
  if (defaults === undefined) {
    const { preConnect, authenticate, authorizePublish, authorizeSubscribe, authorizeForward, published } =
      new Aedes() as unknown as AedesInstance
    defaults = { preConnect, authenticate, authorizePublish, authorizeSubscribe, authorizeForward, published }
  }
  return defaults
}

/** Builds the `Aedes` object that users hold, on our parts. Call `listen` on it when the store is open. */
export function createAedes(state: BrokerState, persistence: object, user: UserOptions, attach: AttachStream): AedesInstance {
  const emitter = routedEmitter(state)
  const aedes = new Aedes({ ...user, persistence, mq: emitter }) as unknown as AedesInstance
  state.hooks = new Hooks(aedes, hookDefaults(), state.clock)
  state.hooks.notice = (name, payload) => {
    const topic = `$SYS/${aedes.id}/${name}`
    const known = state.routes.topics.internName(topic)
    if (known === undefined) return
    const route = state.routes.of(known)
    if (route.sessions.length === 0 && route.listeners.length === 0 && !state.hooks.observesPublish) return
    publishInside(state, { topic, payload: payload() }, null, undefined)
  }
  Object.assign(aedes, {
    handle(stream: Duplex, request?: unknown): Connection {
      let connection: Connection | undefined
      attach(stream, request, (transport) => {
        connection = new Connection(state, transport, aedes)
        return connection
      })
      return connection as Connection
    },
    publish(packet: ClientPacket, client?: unknown, done?: Done): void {
      if (typeof client === 'function') publishInside(state, packet, null, client as Done)
      else publishInside(state, packet, client ?? null, done)
    },
  })
  return aedes
}

/** One admission for a program's message; `done` when it is committed, or at once when nothing of it is stored. */
function publishInside(state: BrokerState, packet: ClientPacket, client: unknown, done: Done): void {
  if (state.hooks.busy) {
    // Called from a hook in the middle of another admission: that one must end first.
    queueMicrotask(() => publishInside(state, packet, client, done))
    return
  }
  const stored = state.stored
  if (stored === null) {
    finish(done, new Error('the store is not open'))
    return
  }
  const qos = packet.qos === 1 || packet.qos === 2 ? packet.qos : 0
  const given = givenOr(packet, state.clock.now())
  if (given instanceof Error) {
    finish(done, given)
    return
  }
  const message = {
    topic: packet.topic,
    payload: bytesOf(packet.payload),
    qos,
    retain: packet.retain === true,
    ...given,
  } as const
  const outcome = admitOutgoing(state, stored, message, client)
  if (typeof outcome === 'string') finish(done, new Error(outcome))
  else if (outcome < 0)
    finish(done, new Error(outcome === REFUSED_FULL ? 'the disk is nearly full' : 'a limit leaves no room for it'))
  else if (outcome === 0) finish(done)
  else
    stored.store.journal.flush().then(
      () => finish(done),
      (error: Error) => finish(done, error),
    )
}

function finish(done: Done, error?: Error): void {
  if (done !== undefined) setImmediate(() => done(error ?? null))
}

/** The emitter that Aedes and its plug-ins expect, on our routing table. */
function routedEmitter(state: BrokerState): object {
  const listeners = new Map<string, Map<Deliver, Listener>>()
  return {
    on(filter: string, deliver: Deliver, done?: () => void): void {
      let known = listeners.get(filter)
      if (known === undefined) {
        known = new Map()
        listeners.set(filter, known)
      }
      if (!known.has(deliver)) {
        const listener = new Listener(filter, deliver)
        known.set(deliver, listener)
        state.routes.listen(listener)
      }
      if (done !== undefined) setImmediate(done)
    },
    removeListener(filter: string, deliver: Deliver, done?: () => void): void {
      const listener = listeners.get(filter)?.get(deliver)
      if (listener !== undefined) {
        listeners.get(filter)?.delete(deliver)
        if (listeners.get(filter)?.size === 0) listeners.delete(filter)
        state.routes.unlisten(listener)
      }
      if (done !== undefined) setImmediate(done)
    },
    /** Live delivery only, as a cluster's emitter does for messages of other brokers. */
    emit(packet: ClientPacket, done?: () => void): void {
      publishInside(state, { ...packet, qos: 0, retain: false }, null, undefined)
      if (done !== undefined) setImmediate(done)
    },
    close(done?: () => void): void {
      if (done !== undefined) setImmediate(done)
    },
  }
}
