/**
 * Publishing to `$delayed/{s}/{topic}`: the message is stored, acknowledged, and published to `{topic}` after `{s}` seconds, from 1 to
 * 4,294,967. It waits in a queue that nobody else sees.
 */
import { ADMITTED, DROPPED, REFUSED_QUOTA } from '../../broker/admission.js'
import type { Inbound } from '../../broker/message.js'
import type { Mailboxes } from '../../broker/ports.js'
import type { Meant, Space } from '../../broker/spaces.js'
import { PACKET_BYTES_MAX } from '../../core/limits.js'
import type { QueueAttributes } from '../../queue/attributes.js'
import type { OutgoingMessage } from '../../queue/ordered-api.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { Store } from '../../store/store.js'
import { mayEnter, QUEUE_LEVEL } from './queue-space.js'
import { RESERVED_LEVELS } from './rule.js'

export const DELAYED_LEVEL = '$delayed'
/** About 49 days, as elsewhere. */
const DELAY_S_MAX = 4_294_967

export interface DelayedLimits {
  readonly max_messages: number
  readonly max_bytes: number
}

/** What a delayed topic says. */
export interface Later {
  readonly delay_s: number
  readonly topic: string
}

/** What waits in the queue, besides the message: when it is due, and how it was published. */
export interface Published {
  readonly due: number
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** Undefined for what is no delayed topic, or one whose inner topic nobody may publish to. */
export function laterOf(name: string): Later | undefined {
  const found = /^\$delayed\/([1-9]\d{0,6})\/(.+)$/su.exec(name)
  if (found === null) return undefined
  const [, seconds = '', topic = ''] = found
  const delay_s = Number(seconds)
  if (delay_s > DELAY_S_MAX) return undefined
  const level = topic.split('/', 1)[0] as string
  return RESERVED_LEVELS.includes(level) && level !== QUEUE_LEVEL ? undefined : { delay_s, topic }
}

/** Queues carry a key and a tag without looking at them: here the moment, and QoS and retain. */
export function publishedOf(d: { readonly key: string; readonly tag: string }): Published {
  return { due: Number(d.key), qos: Number(d.tag[0]) as 0 | 1 | 2, retain: d.tag[1] === 'r' }
}

export class DelayedSpace implements Space {
  private readonly attributes: Partial<QueueAttributes>
  private readonly drive: (queue: OrderedQueue) => void
  private standing: { readonly store: Store; readonly mailboxes: Mailboxes; readonly ordered: OrderedQueues } | undefined
  /** Made when it is first needed. */
  private queue: OrderedQueue | undefined

  /** `drive` is given the queue that messages wait in: of each store that is opened, once there is one. */
  constructor(limits: DelayedLimits, drive: (queue: OrderedQueue, store: Store) => void) {
    this.attributes = { ...limits, retention_s: 0, lease_ms: 60_000, max_message_bytes: PACKET_BYTES_MAX }
    this.drive = (queue) => {
      this.queue = queue
      drive(queue, this.standing?.store as Store)
    }
  }

  open(store: Store, mailboxes: Mailboxes, ordered: OrderedQueues): void {
    this.standing = { store, mailboxes, ordered }
    this.queue = undefined
    const queue = ordered.internal(DELAYED_LEVEL)
    if (queue === undefined) return
    const { max_messages, max_bytes } = this.attributes
    if (queue.attributes.max_messages !== max_messages || queue.attributes.max_bytes !== max_bytes) {
      ordered.update(queue, this.attributes)
    }
    this.drive(queue)
  }

  /** Messages that wait for their moment. */
  get waiting(): number {
    const counts = this.queue?.counts()
    return counts === undefined ? 0 : counts.delayed + counts.ready + counts.leased
  }

  meansToPublish(topic: string): Meant | undefined {
    const later = laterOf(topic)
    return later === undefined
      ? undefined
      : { name: later.topic, renamed: (inner) => `${DELAYED_LEVEL}/${later.delay_s}/${inner}` }
  }

  publish(m: Inbound): number {
    const { standing } = this
    const later = laterOf(m.topic.name)
    if (standing === undefined || later === undefined) return DROPPED
    const { store, mailboxes, ordered } = standing
    // Now, while there is somebody to tell.
    if (!mayEnter(ordered, later.topic, m)) return DROPPED
    if (this.queue === undefined) this.drive(ordered.create(DELAYED_LEVEL, 'internal', this.attributes))
    const queue = this.queue as unknown as OrderedQueue
    mailboxes.begin(m)
    const delay_ms = later.delay_s * 1000
    const message: OutgoingMessage = {
      view: m,
      delay_ms,
      key: String(m.acceptedAt + delay_ms),
      tag: `${m.qos}${m.retain ? 'r' : ''}`,
    }
    const { outcome } = queue.offer(message)
    if (outcome === 'refused') return REFUSED_QUOTA
    return outcome === 'stored' ? store.journal.openGroup : ADMITTED
  }
}
