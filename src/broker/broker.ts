/**
 * The broker room's door: builds the Aedes object on our parts, lets plugins set themselves up, and stands on a store that may be
 * replaced. Order of a start: `createBroker` → `open(store)` → listeners call `accept`.
 */
import { BrokerTime } from '../core/broker-time.js'
import { type MachineClock, systemClock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import { INTERNED_TOPICS_MAX } from '../core/limits.js'
import { type Log, silentLog } from '../core/log.js'
import { type Random, systemRandom } from '../core/random.js'
import { Reason } from '../mqtt/constants.js'
import { isMqttUtf8 } from '../mqtt/utf8.js'
import type { Store } from '../store/store.js'
import { TopicTable } from '../topics/interned.js'
import { admitOutgoing } from './admission.js'
import { Connection } from './connection.js'
import { Fronts } from './fronts.js'
import type { AedesInstance } from './hooks.js'
import { AedesPersistence } from './persistence.js'
import type { BrokerApi, OpenStep, Plugin } from './plugin.js'
import type { OpenMailboxes } from './ports.js'
import { RetainedMessages } from './retained.js'
import { Routes } from './routes.js'
import { type AttachStream, createAedes, type UserOptions } from './seams.js'
import { Sessions } from './sessions.js'
import { type BrokerSettings, defaultBrokerSettings } from './settings.js'
import { BrokerState } from './state.js'
import { startSweep } from './sweep.js'
import { standOnTime } from './time-row.js'
import type { Accept } from './transport.js'
import { Wills } from './wills.js'

export type { Aedes } from 'aedes'

export interface BrokerOptions {
  readonly plugins: readonly Plugin[]
  /** Makes transports of the streams that a program gives to `aedes.handle`. */
  readonly attachStream: AttachStream
  readonly settings?: Partial<BrokerSettings>
  /** Hooks and other options of Aedes. */
  readonly aedes?: UserOptions
  /** The machine's. What the broker itself reads moments on is made of it (`core/broker-time.ts`). */
  readonly clock?: MachineClock
  readonly random?: Random
  readonly log?: Log
}

/** What a start found in the store. */
export interface Found {
  readonly sessions: number
  readonly subscriptions: number
  readonly retained: number
  /** Sessions whose time came while the broker was not there, ended now. */
  readonly ended: number
  /** Wills that came due while the broker was not there, or by its end, published now. */
  readonly wills: number
}

export interface Broker {
  readonly aedes: AedesInstance
  readonly state: BrokerState
  /** What the plugin `name` offers, if it is there and offers anything. */
  offer<T>(name: string): T | undefined
  /** Gives each new transport to a connection. */
  readonly accept: Accept
  /** Stands on `store`: reads sessions, subscriptions, retained messages, and publishes the wills that a crash left behind. */
  open(store: Store): Promise<Found>
  /** The store is gone: every connection is closed without its acknowledgements, all that hangs on the store is forgotten. */
  suspend(): void
  /** Ends clients (their wills go out), then plugins. What they stored is committed when the store is closed after this. */
  close(): Promise<void>
}

export async function createBroker(o: BrokerOptions): Promise<Broker> {
  const settings = { ...defaultBrokerSettings, ...o.settings }
  const topics = new TopicTable({ topics_max: INTERNED_TOPICS_MAX, levels_max: settings.max_topic_levels, isUtf8: isMqttUtf8 })
  const log = o.log ?? silentLog
  const state = new BrokerState({
    settings,
    clock: new BrokerTime(o.clock ?? systemClock, log),
    random: o.random ?? systemRandom,
    log,
    routes: new Routes(topics, settings.deny_subscribe),
  })
  const aedes = createAedes(state, new AedesPersistence(state), o.aedes ?? {}, o.attachStream)
  const { openMailboxes, opening, opened, closing, shared } = await setUp(o.plugins, aedes, state)
  await aedes.listen()
  const sweep = startSweep(state)
  return {
    aedes,
    state,
    offer: <T>(name: string) => shared.get(name) as T | undefined,
    accept: (transport) => new Connection(state, transport, aedes),
    async open(store) {
      const found = await openOn(state, store, openMailboxes, opening)
      for (const fn of opened) fn()
      return found
    },
    suspend: () => suspend(state),
    async close() {
      sweep.cancel()
      state.closing = true
      state.stored?.time.save()
      // Aedes knows the accepted clients only; those that still wait for CONNECT end here.
      for (const connection of [...state.connections]) connection.close()
      await new Promise<void>((resolve) => aedes.close(resolve))
      for (const fn of closing.reverse()) await fn()
      state.stored = null
    },
  }
}

async function setUp(
  plugins: readonly Plugin[],
  aedes: AedesInstance,
  state: BrokerState,
): Promise<{
  openMailboxes: OpenMailboxes
  opening: readonly OpenStep[]
  opened: readonly (() => void)[]
  closing: (() => void | Promise<void>)[]
  shared: ReadonlyMap<string, unknown>
}> {
  const shared = new Map<string, unknown>()
  const ready = new Set<string>()
  const opening: OpenStep[] = []
  const opened: (() => void)[] = []
  const closing: (() => void | Promise<void>)[] = []
  let openMailboxes: OpenMailboxes | undefined
  const api: BrokerApi = {
    aedes,
    clock: state.clock,
    coarse_ms: () => state.uptime_ms,
    turnSpent: () => state.turnSpent,
    random: state.random,
    log: state.log,
    get authenticates() {
      return state.hooks.gatesUsers || state.authMethods.any
    },
    refused: (limit) => state.refusals.count(limit),
    keepMessages(open) {
      if (openMailboxes !== undefined) throw new AqueductError('internal', 'two plugins want to keep the messages of sessions')
      openMailboxes = open
    },
    share: (name, value) => shared.set(name, value),
    use<T>(name: string): T {
      if (!shared.has(name)) throw new AqueductError('internal', `no plugin offers "${name}"`)
      return shared.get(name) as T
    },
    onOpen: (fn) => opening.push(fn),
    onOpened: (fn) => opened.push(fn),
    onClose: (fn) => closing.push(fn),
    serve: (level, space) => state.spaces.serve(level, space),
    authenticateWith(method, options = {}) {
      if (!state.authMethods.add(method, options))
        throw new AqueductError('internal', `two plugins bring the authentication method "${method.name}"`)
    },
    addTaker: (taker) => state.routes.addTaker(taker),
    removeTaker: (taker) => state.routes.removeTaker(taker),
    publish(message) {
      if (state.stored === null) throw new AqueductError('store_failed', 'The store is not open.')
      return admitOutgoing(state, state.stored, message, null)
    },
  }
  for (const plugin of plugins) {
    const missing = plugin.needs?.find((name) => !ready.has(name))
    if (missing !== undefined) throw new AqueductError('internal', `plugin "${plugin.name}" needs "${missing}" before it`)
    await plugin.setup(api)
    ready.add(plugin.name)
  }
  if (openMailboxes === undefined)
    throw new AqueductError('internal', 'no plugin keeps the messages of sessions: add durable-queues')
  return { openMailboxes, opening, opened, closing, shared }
}

async function openOn(
  state: BrokerState,
  store: Store,
  openMailboxes: OpenMailboxes,
  opening: readonly OpenStep[],
): Promise<Found> {
  // First: whatever is read from here on is compared with it.
  const time = await standOnTime(state.clock, store, state.log)
  const mailboxes = await openMailboxes(store)
  // Before sessions and their subscriptions are read, and before wills are published.
  for (const fn of opening) await fn(store, mailboxes)
  const { routes, spaces, clock, settings, stats } = state
  const { journal, disk } = store
  const retained = new RetainedMessages({ journal, disk, clock, stats, settings, log: state.log })
  const sessions = new Sessions({ journal, mailboxes, routes, spaces, clock, settings, stats, log: state.log })
  const wills = new Wills(state, store, sessions)
  sessions.watcher = wills
  await retained.load()
  const expired = stats.sessionsExpired
  await sessions.load(store)
  const ended = stats.sessionsExpired - expired
  // After the waiters of a commit have put their answers together, these leave in one write per connection.
  journal.contribute({ seal: nothing, committed: nothing, settled: () => state.flush() })
  state.stored = { store, time, mailboxes, sessions, retained, wills, fronts: new Fronts(sessions, clock) }
  const published = await wills.load()
  return { sessions: sessions.size, subscriptions: routes.subscriptions, retained: retained.size, ended, wills: published }
}

function suspend(state: BrokerState): void {
  // First, so that nothing which ends below tries to store something.
  state.stored = null
  for (const connection of [...state.connections]) connection.end(Reason.server_busy)
  state.routes.forgetSessions()
}

function nothing(): void {}
