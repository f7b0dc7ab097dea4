/**
 * What rules share about the message being admitted, made when the first of them needs it and gone with the admission: facts for their conditions, and
 * what those that require their copies have reserved. So two of them never count on the same room, and no other rule takes what was promised.
 */
import type { Inbound } from '../../broker/message.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import { Facts } from './facts.js'

interface Reservation {
  readonly queue: string
  readonly bytes: number
}

export class Plan {
  private readonly reserved: Reservation[] = []
  private known: Facts | undefined

  facts(m: Inbound, bytes_max: number): Facts {
    this.known ??= new Facts(m, bytes_max)
    return this.known
  }

  /** Reserves room for one copy, if `fits` says that there is room for all that is reserved in this queue and this one. */
  reserve(queue: string, bytes: number, fits: (copies: number, sum: number, largest: number) => boolean): boolean {
    const { copies, sum } = this.in(queue)
    if (!fits(copies + 1, sum + bytes, bytes)) return false
    this.reserved.push({ queue, bytes })
    return true
  }

  /** The copy is about to be made. */
  release(queue: string, bytes: number): void {
    const i = this.reserved.findIndex((r) => r.queue === queue && r.bytes === bytes)
    if (i >= 0) this.reserved.splice(i, 1)
  }

  /** True when `queue` has room for what is reserved in it and `bytes` more; always when nothing is. */
  leaves(queue: OrderedQueue, bytes: number): boolean {
    const { copies, sum } = this.in(queue.name)
    return copies === 0 || queue.fits(copies + 1, sum + bytes, bytes)
  }

  private in(queue: string): { copies: number; sum: number } {
    let copies = 0
    let sum = 0
    for (const r of this.reserved) {
      if (r.queue !== queue) continue
      copies++
      sum += r.bytes
    }
    return { copies, sum }
  }
}
