/**
 * What rules share about the message being admitted, made when the first of them needs it and gone with the admission: facts for their conditions, and
 * what those that require their copies have reserved. So two of them never count on the same room, and no other rule takes what was promised.
 */
import type { Inbound } from '../../broker/message.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import type { Wanted } from '../../queue/ordered-room.js'
import { Facts } from './facts.js'

interface Reservation extends Wanted {
  readonly queue: string
}

export class Plan {
  private readonly reserved: Reservation[] = []
  private known: Facts | undefined

  facts(m: Inbound, bytes_max: number): Facts {
    this.known ??= new Facts(m, bytes_max)
    return this.known
  }

  /** Reserves room for one copy, if `fits` says that there is room for all that is reserved in this queue and this one. */
  reserve(copy: Reservation, fits: (wanted: readonly Wanted[]) => boolean): boolean {
    if (!fits([...this.in(copy.queue), copy])) return false
    this.reserved.push(copy)
    return true
  }

  /** The copy is about to be made. */
  release(queue: string, bytes: number, key: string): void {
    const i = this.reserved.findIndex((r) => r.queue === queue && r.bytes === bytes && r.key === key)
    if (i >= 0) this.reserved.splice(i, 1)
  }

  /** True when `queue` has room for what is reserved in it and one more; always when nothing is. */
  leaves(queue: OrderedQueue, copy: Wanted): boolean {
    const reserved = this.in(queue.name)
    return reserved.length === 0 || queue.fits([...reserved, copy])
  }

  private in(queue: string): readonly Wanted[] {
    return this.reserved.filter((r) => r.queue === queue)
  }
}
