/**
 * How the broker is extended. A plugin has a name and a `setup`; what it does is registered on the api it is given, so that many plugins share
 * each stage in the order in which they were set up.
 */
import type { Clock } from '../core/clock.js'
import type { Log } from '../core/log.js'
import type { Random } from '../core/random.js'
import type { AedesInstance } from './hooks.js'
import type { OpenMailboxes } from './ports.js'

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
  readonly random: Random
  readonly log: Log
  /** Says how sessions keep their messages. Exactly one plugin does. */
  keepMessages(open: OpenMailboxes): void
  /** Offers something to plugins that need this one. */
  share(name: string, value: unknown): void
  /** What the plugin `name` offers. Throws when it is not there. */
  use<T>(name: string): T
  /** Run when the broker closes, in reverse order of registration. */
  onClose(fn: () => void | Promise<void>): void
}
