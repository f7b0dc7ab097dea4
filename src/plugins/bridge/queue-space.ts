/**
 * Publishing to `$queue/{name}`: the message goes into that pull queue and nowhere else, in the commit that acknowledges it. MQTT 5 user
 * properties say what a send over HTTP says in its attributes; they stay on the message.
 *
 * | user property | |
 * | --- | --- |
 * | `aqueduct-key` | message key, 1 to 255 bytes |
 * | `aqueduct-tag` | tag, 1 to 255 bytes |
 * | `aqueduct-priority` | 1 (first) to 16 |
 * | `aqueduct-delay-ms` | how long it waits before it can be received |
 * | `aqueduct-dedup-id` | 1 to 255 bytes: a second message with it, within the queue's window, is acknowledged and not stored |
 */
import { ADMITTED, DROPPED, REFUSED_QUOTA } from '../../broker/admission.js'
import type { Inbound } from '../../broker/message.js'
import type { Mailboxes } from '../../broker/ports.js'
import { propertiesOf } from '../../broker/properties.js'
import type { Space } from '../../broker/spaces.js'
import { DELAY_MS_MAX, KEY_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN } from '../../core/limits.js'
import type { OutgoingMessage } from '../../queue/ordered-api.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { Store } from '../../store/store.js'

export const QUEUE_LEVEL = '$queue'

type Options = { -readonly [K in keyof OutgoingMessage]: OutgoingMessage[K] }

export class QueueSpace implements Space {
  private store: Store | undefined
  private mailboxes: Mailboxes | undefined
  private ordered: OrderedQueues | undefined

  open(store: Store, mailboxes: Mailboxes, ordered: OrderedQueues): void {
    this.store = store
    this.mailboxes = mailboxes
    this.ordered = ordered
  }

  publish(m: Inbound): number {
    const { store, mailboxes, ordered } = this
    const queue = ordered === undefined ? undefined : queueOf(ordered, m.topic.name)
    if (store === undefined || mailboxes === undefined || queue === undefined) return DROPPED
    const options = optionsOf(m)
    if (options === undefined) return DROPPED
    mailboxes.begin(m)
    const { outcome } = queue.offer(options)
    if (outcome === 'refused') return REFUSED_QUOTA
    // The message that a duplicate repeats may itself be on its way to the disk.
    return outcome === 'dropped_newest' ? ADMITTED : store.journal.openGroup
  }
}

/** The queue that the topic `$queue/{name}` means, if there is one. */
function queueOf(ordered: OrderedQueues, topic: string): OrderedQueue | undefined {
  const queue = ordered.get(topic.slice(QUEUE_LEVEL.length + 1))
  return queue?.kind === 'pull' ? queue : undefined
}

/** Would `m` be taken if it were published to `topic`, room aside? True for topics that are no queue's. */
export function mayEnter(ordered: OrderedQueues, topic: string, m: Inbound): boolean {
  if (topic !== QUEUE_LEVEL && !topic.startsWith(`${QUEUE_LEVEL}/`)) return true
  return queueOf(ordered, topic) !== undefined && optionsOf(m) !== undefined
}

/** Undefined when a property is there whose value cannot be. */
function optionsOf(m: Inbound): OutgoingMessage | undefined {
  const options: Options = { view: m }
  if (m.properties === undefined) return options
  for (const [name, value] of propertiesOf(m).userProperties ?? []) {
    if (name.startsWith('aqueduct-') && !take(options, name, value)) return undefined
  }
  return options
}

/** False when `value` is none for `name`. Other names of ours are nobody's yet. */
function take(options: Options, name: string, value: string): boolean {
  switch (name) {
    case 'aqueduct-key':
      options.key = value
      return isShort(value)
    case 'aqueduct-tag':
      options.tag = value
      return isShort(value)
    case 'aqueduct-dedup-id':
      options.dedup_id = value
      return isShort(value)
    case 'aqueduct-priority':
      options.priority = Number(value)
      return isWhole(value, PRIORITY_MIN, PRIORITY_MAX)
    case 'aqueduct-delay-ms':
      options.delay_ms = Number(value)
      return isWhole(value, 0, DELAY_MS_MAX)
    default:
      return true
  }
}

function isShort(text: string): boolean {
  return text !== '' && text.length <= KEY_BYTES_MAX && Buffer.byteLength(text) <= KEY_BYTES_MAX
}

function isWhole(text: string, min: number, max: number): boolean {
  return /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max
}
