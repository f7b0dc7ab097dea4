/**
 * Publishes that are not taken: counted, said, and answered in the words that there are.
 *
 * Always true: nothing that is acknowledged was dropped. MQTT 5 has a reason code for QoS 1 and 2. MQTT 3.1.1 has none but the end of the connection, as
 * Aedes ends it when `authorizePublish` refuses. At QoS 0 there is nothing to answer: the message is counted and said.
 */
import { Reason } from '../mqtt/constants.js'
import { DROPPED, REFUSED_FULL, REFUSED_QUOTA, REFUSED_RETAINED } from './admission.js'
import type { BrokerState } from './state.js'

/** Why a publish is not taken: a word for logs, a sentence, and MQTT 5's reason. */
export interface Refusal {
  readonly why: string
  readonly text: string
  readonly reason: number
}

export const RESERVED: Refusal = {
  why: 'reserved_topic',
  text: 'nobody may publish to this topic',
  reason: Reason.not_authorised,
}
export const BY_HOOK: Refusal = { why: 'refused_by_hook', text: 'publish refused by a hook', reason: Reason.not_authorised }
const NOTHING_THERE: Refusal = {
  why: 'nothing_there',
  text: 'there is no queue, or nothing else, of this name',
  reason: Reason.topic_name_invalid,
}
const STORE_FULL: Refusal = { why: 'store_full', text: 'the disk is nearly full', reason: Reason.quota_exceeded }
const QUEUE_FULL: Refusal = {
  why: 'queue_full',
  text: 'a queue that must have the message has no room for it',
  reason: Reason.quota_exceeded,
}

const RETAINED_FULL: Refusal = {
  why: 'retained_full',
  text: 'a limit leaves no room for a retained message more',
  reason: Reason.quota_exceeded,
}

const BY_OUTCOME: Readonly<Record<number, Refusal>> = {
  [DROPPED]: NOTHING_THERE,
  [REFUSED_FULL]: STORE_FULL,
  [REFUSED_QUOTA]: QUEUE_FULL,
  [REFUSED_RETAINED]: RETAINED_FULL,
}

/** What a negative outcome of `admit` means. */
export function refusalOf(outcome: number): Refusal {
  return BY_OUTCOME[outcome] ?? QUEUE_FULL
}

/** `by`: a client id, or what else published it. Counts nothing: who refuses does. */
export function tellRefused(state: BrokerState, refusal: Refusal, topic: string, by: string): void {
  state.seldom.warn({ client: by, topic, why: refusal.why }, 'a publish was not taken')
}
