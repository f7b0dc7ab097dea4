/**
 * What things cost in this process's memory for as long as they are there, so that limits count bytes where a client chooses the size.
 *
 * The figures are measured (README, "Limits") and rounded up: names may be stored twice, at two bytes a character, and a filter or topic may make a node of
 * the tree at each of its levels. Always true: what is charged for a thing does not depend on when it came, so a start charges what the run before did.
 */
const SESSION_BYTES = 1_024
const SUBSCRIPTION_BYTES = 512
/** A group, or a consumed queue, with its taker and its member. */
const SERVED_BYTES = 3_072
const RETAINED_BYTES = 512
const WILL_BYTES = 512
const LEVEL_BYTES = 240
const NAME_BYTES_PER_CHARACTER = 4

/** QoS 2 identifiers that a session's own cost covers, and what each further one costs. */
export const INBOUND_FREE = 16
export const INBOUND_BYTES = 48

export function sessionCost(clientId: string): number {
  return SESSION_BYTES + NAME_BYTES_PER_CHARACTER * clientId.length
}

export function subscriptionCost(filter: string): number {
  const bytes = SUBSCRIPTION_BYTES + NAME_BYTES_PER_CHARACTER * filter.length
  if (filter.startsWith('$share/') || filter.startsWith('$queue/') || filter.startsWith('$dead/'))
    return bytes + SERVED_BYTES + LEVEL_BYTES * levels(filter)
  return filter.includes('+') || filter.includes('#') ? bytes + LEVEL_BYTES * levels(filter) : bytes
}

export function retainedCost(topic: string): number {
  return RETAINED_BYTES + NAME_BYTES_PER_CHARACTER * topic.length + LEVEL_BYTES * levels(topic)
}

/** Client id and topic, as text, and what it carries. */
export function willCost(clientId: string, topic: string, payload: Buffer): number {
  return WILL_BYTES + 2 * clientId.length + 2 * topic.length + payload.length
}

export function inboundCost(count: number): number {
  return count > INBOUND_FREE ? (count - INBOUND_FREE) * INBOUND_BYTES : 0
}

function levels(name: string): number {
  let count = 1
  for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1)) count++
  return count
}

/**
 * What all things of a kind cost together. Never refuses by itself: who brings something new asks `fits`, a start does not. An eighth is kept from
 * what is stored, so that somebody who fills the rest keeps nobody from connecting with a session that ends with its connection.
 */
export class Footprint {
  bytes = 0
  readonly max_bytes: number

  constructor(max_bytes: number) {
    this.max_bytes = max_bytes
  }

  fits(bytes: number, stored: boolean): boolean {
    return this.bytes + bytes <= (stored ? this.max_bytes - this.max_bytes / 8 : this.max_bytes)
  }
}
