/**
 * What MQTT 5 promises by time, as a few lines: sessions that end, wills that wait. It knows nothing of rows, sweeps or sockets; the test drives it and the
 * broker with the same commands.
 */
export const NEVER = 0xffff_ffff

export interface Ask {
  readonly clean: boolean
  /** Seconds that the session outlives the connection. */
  readonly expiry_s: number
  /** Seconds; undefined: no will. */
  readonly delay_s: number | undefined
}

interface Client {
  connected: boolean
  expiry_s: number
  /** When the session ends; undefined: there is none. Infinity while connected, or for ever. */
  ends: number | undefined
  will: { n: number; delay_s: number } | undefined
  waiting: { n: number; dueAt: number } | undefined
}

export class TimeModel {
  now: number
  /** Numbers of the wills that were sent. */
  readonly sent: number[] = []
  readonly clients = new Map<string, Client>()
  private wills = 0

  constructor(now: number) {
    this.now = now
  }

  of(id: string): Client {
    let client = this.clients.get(id)
    if (client === undefined) {
      client = { connected: false, expiry_s: 0, ends: undefined, will: undefined, waiting: undefined }
      this.clients.set(id, client)
    }
    return client
  }

  get nextWill(): number {
    return this.wills + 1
  }

  /** Returns session present. */
  connect(id: string, ask: Ask): boolean {
    const c = this.of(id)
    if (c.connected) this.leave(id, true)
    this.settle(c)
    if (ask.clean) this.end(c)
    const present = c.ends !== undefined
    // In time: the will is not sent.
    c.waiting = undefined
    c.connected = true
    c.expiry_s = ask.expiry_s
    c.ends = Number.POSITIVE_INFINITY
    c.will = ask.delay_s === undefined ? undefined : { n: ++this.wills, delay_s: ask.delay_s }
    return present
  }

  /** The connection is over, without a goodbye when `sends`. */
  leave(id: string, sends: boolean, expiry_s?: number): void {
    const c = this.of(id)
    if (!c.connected) return
    if (expiry_s !== undefined) c.expiry_s = expiry_s
    c.connected = false
    c.ends = c.expiry_s === NEVER ? Number.POSITIVE_INFINITY : this.now + c.expiry_s * 1000
    if (sends && c.will !== undefined) c.waiting = { n: c.will.n, dueAt: this.now + c.will.delay_s * 1000 }
    c.will = undefined
    this.settle(c)
  }

  /** All that is due happens. */
  tick(): void {
    for (const c of this.clients.values()) this.settle(c)
  }

  /** The broker is not there for `ms`, after it went in order (`gently`) or died. */
  restart(gently: boolean, ms: number): void {
    if (gently) for (const id of this.clients.keys()) this.leave(id, true)
    this.now += ms
    for (const id of this.clients.keys()) this.leave(id, true)
    this.tick()
  }

  /** Wills that are kept, of connections or waiting. */
  get kept(): number {
    let count = 0
    for (const c of this.clients.values()) count += (c.will === undefined ? 0 : 1) + (c.waiting === undefined ? 0 : 1)
    return count
  }

  private settle(c: Client): void {
    if (!c.connected && c.ends !== undefined && c.ends <= this.now) this.end(c)
    if (c.waiting === undefined || c.waiting.dueAt > this.now) return
    this.sent.push(c.waiting.n)
    c.waiting = undefined
  }

  private end(c: Client): void {
    c.ends = undefined
    if (c.waiting !== undefined) this.sent.push(c.waiting.n)
    c.waiting = undefined
  }
}
