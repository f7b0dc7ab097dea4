/**
 * Which member gets the next message. Pure but for the place where a round goes on.
 *
 * Always true: a member that cannot take is passed over, one that let messages run out comes last, and with a hash a key has one member as long as the
 * members that are here do not change (rendezvous hashing: when one goes, only its keys move).
 */
import type { Inbound } from '../../broker/message.js'
import type { Member } from './member.js'

export const DISTRIBUTIONS = ['round_robin', 'least_in_flight', 'sticky', 'hash_client', 'hash_topic'] as const
export type Distribution = (typeof DISTRIBUTIONS)[number]

export function isHash(distribution: Distribution): boolean {
  return distribution === 'hash_client' || distribution === 'hash_topic'
}

/** 32 bits of a text, the same in every process (FNV-1a over UTF-16 units). */
export function hashOf(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}

/** The key's hash of a message that is being admitted. A message that no client published belongs to the broker, which is one publisher. */
export function keyHash(distribution: Distribution, m: Inbound): number {
  if (distribution === 'hash_topic') return hashOf(m.topic.name)
  return hashOf(m.publisher?.clientId ?? clientIdOf(m.client))
}

function clientIdOf(client: unknown): string {
  const id = typeof client === 'object' && client !== null && 'id' in client ? client.id : ''
  return typeof id === 'string' ? id : ''
}

/** Where the round goes on, and who is stuck to. */
export class Chooser {
  private readonly distribution: Distribution
  private at = 0
  private chosen = 0

  constructor(distribution: Distribution) {
    this.distribution = distribution
  }

  /** Member `index` left the list. */
  removed(index: number): void {
    if (index < this.at) this.at--
  }

  /**
   * Who gets the next message, whatever it is: not for hashes. `once`: it is one of QoS 0, for which no window needs to have room. Nothing has changed
   * before `took`.
   */
  choose(members: readonly Member[], once = false): Member | undefined {
    const { length } = members
    const least = this.distribution === 'least_in_flight'
    let best: Member | undefined
    for (let i = 0; i < length; i++) {
      const index = (this.at + i) % length
      const member = members[index]
      if (!(once ? member.lane.open : member.canTake) || (best !== undefined && !isBetter(member, best, least))) continue
      best = member
      this.chosen = index
      if (!least && !member.stalled) break
    }
    return best
  }

  /** The one that was chosen last got a message. */
  took(): void {
    this.at = this.distribution === 'sticky' ? this.chosen : this.chosen + 1
  }
}

function isBetter(a: Member, b: Member, least: boolean): boolean {
  if (a.stalled !== b.stalled) return b.stalled
  return least && a.lane.inFlight < b.lane.inFlight
}

/** The member whose key this is, of those that are here, whether it can take now or not. */
export function ownerOf(members: readonly Member[], hash: number): Member | undefined {
  let owner: Member | undefined
  let best = -1
  let late: Member | undefined
  let bestLate = -1
  for (const member of members) {
    if (!member.lane.connected) continue
    const score = mix(hash ^ member.hash)
    if (member.stalled) {
      if (score > bestLate) {
        bestLate = score
        late = member
      }
    } else if (score > best) {
      best = score
      owner = member
    }
  }
  return owner ?? late
}

function mix(h: number): number {
  let x = h
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}
