/**
 * How the broker is extended. A plugin has a name and a `setup`; what it does is registered on the api it is given, so that many plugins share
 * each stage in the order in which they were set up.
 */
import type { Clock } from '../core/clock.js'
import type { Log } from '../core/log.js'
import type { Random } from '../core/random.js'
import type { CountedLimit } from '../core/refusals.js'
import type { Store } from '../store/store.js'
import type { Outgoing } from './admission.js'
import type { AuthMethod, AuthMethodOptions } from './auth-method.js'
import type { AedesInstance } from './hooks.js'
import type { Mailboxes, OpenMailboxes } from './ports.js'
import type { Space } from './spaces.js'
import type { Taker } from './taker.js'

/** Run for each store that is opened, before sessions are read. What it kept of an earlier store is gone. */
export type OpenStep = (store: Store, mailboxes: Mailboxes) => void | Promise<void>

export interface Plugin {
  readonly name: string
  /** Plugins that must be set up before this one. */
  readonly needs?: readonly string[]
  setup(api: BrokerApi): void | Promise<void>
}

export interface BrokerApi {
  /** The object that Aedes plug-ins and programs know: hooks, events, `publish`, `subscribe`. */
  readonly aedes: AedesInstance
  readonly clock: Clock
  /** Uptime as of the last sweep, at most a quarter of a second old, and free to ask for. */
  coarse_ms(): number
  /** So much has been done in this turn of the process that whatever can wait should let others have theirs first. */
  turnSpent(): boolean
  readonly random: Random
  readonly log: Log
  /** Somebody decides who may connect: a method of authentication, or a program's `authenticate` hook. */
  readonly authenticates: boolean
  /** Counts what a limit refused, and says so in the log from time to time. */
  refused(limit: CountedLimit): void
  /** Says how sessions keep their messages. Exactly one plugin does. */
  keepMessages(open: OpenMailboxes): void
  /** Offers something to plugins that need this one. */
  share(name: string, value: unknown): void
  /** What the plugin `name` offers. Throws when it is not there. */
  use<T>(name: string): T
  /** Run each time a store was opened, in order of registration: read what the plugin keeps in it, make takers anew. */
  onOpen(fn: OpenStep): void
  /** Run each time a store was opened and all that was in it is known: messages can be published from now on. */
  onOpened(fn: () => void): void
  /** Says that topics and filters of a reserved first level (`$queue`) are this plugin's. Once, in `setup`. */
  serve(level: string, space: Space): void
  /** Lets clients of MQTT 5 authenticate by `method`. Once for each name, in `setup`. */
  authenticateWith(method: AuthMethod, options?: AuthMethodOptions): void
  /** From now on `taker` gets a copy of each message that matches. Takers are gone with their store: make them in `onOpen`. */
  addTaker(taker: Taker): void
  removeTaker(taker: Taker): void
  /**
   * Publishes a message from inside, as from a client that nobody may refuse: the commit group to wait for, a refusal of `admit`, or a sentence
   * why the topic is none. Not in the middle of an admission.
   */
  publish(message: Outgoing): number | string
  /** Run when the broker closes, in reverse order of registration. */
  onClose(fn: () => void | Promise<void>): void
}
