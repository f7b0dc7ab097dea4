/**
 * What MQTT 5 promises by time, over a kill: messages that expire are never delivered afterwards, a delayed will comes exactly once, one that was
 * taken back never. Judged in each round by a subscriber that comes back when all of it is due.
 */
import { MqttClient } from '../../support/mqtt-client.js'
import { pause } from './options.js'
import { FIVE, Subscriber } from './subscriber.js'

const EXPIRY_S = 1
const WILL_DELAY_S = 1
/** The broker looks at what is due a few times a second. */
const GRACE_MS = 1_500
const EACH = 10

export interface TimedCounts {
  owed: number
  lost: number
  doubled: number
  /** Expired, or a will that nobody should send. */
  unasked: number
}

export class Timed {
  private readonly got = new Map<string, number>()
  private owed: string[] = []
  private forbidden: string[] = []
  private due_at = 0
  private clients: MqttClient[] = []
  private readonly subscriber = new Subscriber('five-timed', [['x/#', 2]], ({ key }) => {
    if (key !== '') this.got.set(key, (this.got.get(key) ?? 0) + 1)
  })

  async begin(port: number): Promise<void> {
    await this.subscriber.connect(port)
    await this.subscriber.leave()
  }

  /** Before the load: everything here is acknowledged when this returns. */
  async before(port: number, round: number): Promise<void> {
    this.owed = []
    this.forbidden = []
    const sender = await MqttClient.connect(port, { client_id: 'timed-sender', ...FIVE })
    for (let i = 0; i < EACH; i++) {
      const qos = i % 2 === 0 ? 1 : 2
      await this.send(sender, `short-${round}-${i}`, qos, EXPIRY_S, this.forbidden)
      // At QoS 1 a second copy would be allowed: these are counted for doubles.
      await this.send(sender, `long-${round}-${i}`, 2, 3_600, this.owed)
    }
    await sender.disconnect()
    // One dies before the load, one with the broker; one says goodbye, one comes back in time.
    const dead = await this.connect(port, `dead-${round}`, this.owed)
    dead.destroy()
    this.clients.push(await this.connect(port, `open-${round}`, this.owed))
    const polite = await this.connect(port, `polite-${round}`, this.forbidden)
    await polite.disconnect()
    this.due_at = Date.now() + EXPIRY_S * 1000 + GRACE_MS
  }

  /** The broker is up again, for good. */
  restarted(): void {
    this.due_at = Math.max(this.due_at, Date.now() + WILL_DELAY_S * 1000 + GRACE_MS)
    for (const client of this.clients.splice(0)) client.destroy()
  }

  async after(port: number): Promise<TimedCounts> {
    await pause(Math.max(0, this.due_at - Date.now()))
    await this.subscriber.connect(port)
    for (let i = 0; i < 250 && this.owed.some((key) => !this.got.has(key)); i++) await pause(20)
    await pause(100)
    await this.subscriber.leave()
    return {
      owed: this.owed.length,
      lost: this.owed.filter((key) => !this.got.has(key)).length,
      doubled: this.owed.filter((key) => (this.got.get(key) ?? 0) > 1).length,
      unasked: this.forbidden.filter((key) => this.got.has(key)).length,
    }
  }

  private async send(client: MqttClient, key: string, qos: 1 | 2, expiry_s: number, list: string[]): Promise<void> {
    await client.publishAndWait('x/message', `${key};`, { qos, properties: { messageExpiryInterval: expiry_s } })
    list.push(key)
  }

  private async connect(port: number, name: string, list: string[]): Promise<MqttClient> {
    const will = { topic: 'x/will', payload: `${name};`, qos: 2, properties: { willDelayInterval: WILL_DELAY_S } } as const
    const client = await MqttClient.connect(port, { client_id: `will-${name}`, ...FIVE, will })
    if (client.connack?.code !== 0) throw new Error(`${name}: reason code ${client.connack?.code}`)
    list.push(name)
    return client
  }
}
