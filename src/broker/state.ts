/**
 * What every part of the broker shares. One object, made once; what hangs on the store (`stored`) is replaced as a whole when a
 * store that failed has been opened again.
 */
import type { BrokerTime } from '../core/broker-time.js'
import type { Log } from '../core/log.js'
import type { Random } from '../core/random.js'
import { Refusals } from '../core/refusals.js'
import { Seldom } from '../core/seldom.js'
import type { Store } from '../store/store.js'
import { AuthMethods } from './auth-method.js'
import type { Connection } from './connection.js'
import { ConnectionLog } from './connection-log.js'
import type { Fronts } from './fronts.js'
import type { Hooks } from './hooks.js'
import { Knocking } from './knocking.js'
import { Inbound } from './message.js'
import { SlabPool } from './output.js'
import type { Mailboxes } from './ports.js'
import { Replays } from './replays.js'
import type { RetainedMessages } from './retained.js'
import type { Routes } from './routes.js'
import type { Sessions } from './sessions.js'
import type { BrokerSettings } from './settings.js'
import { Spaces } from './spaces.js'
import { BrokerStats } from './stats.js'
import type { TimeRow } from './time-row.js'
import type { Wills } from './wills.js'

/** What the packets of one turn may cost, ten milliseconds or two; and those of one connection in any case. */
const WORK_PER_TURN = 32_768
const WORK_MIN = 2_048

export interface Stored {
  readonly store: Store
  readonly time: TimeRow
  readonly mailboxes: Mailboxes
  readonly sessions: Sessions
  readonly retained: RetainedMessages
  readonly wills: Wills
  readonly fronts: Fronts
}

export class BrokerState {
  readonly settings: BrokerSettings
  readonly clock: BrokerTime
  readonly random: Random
  readonly log: Log
  /** For what clients can bring about as often as they like. */
  readonly seldom: Seldom
  readonly connectionLog: ConnectionLog
  readonly routes: Routes
  readonly spaces = new Spaces()
  readonly authMethods = new AuthMethods()
  readonly stats = new BrokerStats()
  readonly slabs = new SlabPool(this.stats)
  readonly inbound = new Inbound()
  /** Every open connection, accepted or not yet. */
  readonly connections = new Set<Connection>()
  /** Those that are not past CONNECT, the oldest first. */
  readonly knocking = new Knocking(this)
  /** Clients that have a session now. */
  accepted = 0
  /** What limits refused. */
  readonly refusals: Refusals
  /** Set by the seams before the first connection. */
  hooks!: Hooks
  /** The broker is shutting down: clients are told so. */
  closing = false
  /** Null while there is no store to stand on: connections are then turned away. */
  stored: Stored | null = null
  /** Uptime at the last sweep: good enough for keep alive, and free to read. */
  uptime_ms = 0
  /**
   * What clients' packets have cost so far: a unit is about what one copy of a message costs. In one turn packets may cost so much together; a connection
   * that comes later in the turn gets a little all the same, and who has more to do goes on in the next (`input.ts`).
   */
  work = 0
  private turnMax = 0
  private turnArmed = false
  private readonly turnEnded = (): void => {
    this.turnArmed = false
  }
  /** Retained messages on their way to new subscriptions. */
  readonly replays = new Replays()

  private dirty: Connection[] = []
  private spare: Connection[] = []
  private flushArmed = false
  private readonly flushLater = (): void => {
    this.flushArmed = false
    this.flush()
  }

  constructor(o: { settings: BrokerSettings; clock: BrokerTime; random: Random; log: Log; routes: Routes }) {
    this.settings = o.settings
    this.clock = o.clock
    this.random = o.random
    this.log = o.log
    this.seldom = new Seldom(o.log, () => this.uptime_ms)
    this.connectionLog = new ConnectionLog(o.log, () => this.uptime_ms)
    this.routes = o.routes
    this.refusals = new Refusals(o.clock, o.log)
  }

  /** `connection` has output that must leave at the end of this turn, joined with whatever else it gets until then. */
  markDirty(connection: Connection): void {
    this.dirty.push(connection)
    if (!this.flushArmed) {
      this.flushArmed = true
      setImmediate(this.flushLater)
    }
  }

  /** Up to where `work` may grow by what a connection has to be handled now. */
  workMax(): number {
    this.beginTurn()
    return Math.max(this.turnMax, this.work + WORK_MIN)
  }

  /** True when so much has been done in this turn that what can wait for the next one should. */
  get turnSpent(): boolean {
    this.beginTurn()
    return this.work > this.turnMax
  }

  private beginTurn(): void {
    if (this.turnArmed) return
    this.turnArmed = true
    this.turnMax = this.work + WORK_PER_TURN
    setImmediate(this.turnEnded)
  }

  /** Writes out what every dirty connection has. */
  flush(): void {
    while (this.dirty.length > 0) {
      const now = this.dirty
      this.dirty = this.spare
      for (let i = 0; i < now.length; i++) (now[i] as Connection).flush()
      now.length = 0
      this.spare = now
    }
  }
}
