/**
 * Messages that expire at the front of queues which nobody reads: they leave some time later, so that the space they take is free and counts tell the
 * truth. (None is delivered late: delivery asks for itself.)
 *
 * One look per turn goes on where the last one ended, over a part of the sessions, and reads a bounded number of messages from the disk.
 */
import type { Clock } from '../core/clock.js'
import type { ReadBudget } from './ports.js'
import type { Session } from './session.js'
import type { Sessions } from './sessions.js'

/** Sessions looked at in one turn: a hundred thousand take 25 s. */
const LOOKS_PER_TURN = 1_000
const READS_PER_TURN = 64

export class Fronts implements ReadBudget {
  private readonly sessions: Sessions
  private readonly clock: Clock
  /** The order of sessions does not change, and who is added comes last: nobody is passed over for long. */
  private next: Iterator<Session>
  private readsLeft = 0

  constructor(sessions: Sessions, clock: Clock) {
    this.sessions = sessions
    this.clock = clock
    this.next = sessions.all()[Symbol.iterator]()
  }

  sweep(): void {
    this.readsLeft = READS_PER_TURN
    for (let count = 0; count < LOOKS_PER_TURN && this.readsLeft > 0; count++) {
      const step = this.next.next()
      if (step.done === true) {
        this.next = this.sessions.all()[Symbol.iterator]()
        return
      }
      this.look(step.value)
    }
  }

  take(): boolean {
    return this.readsLeft-- > 0
  }

  done(clientId: string): void {
    const session = this.sessions.get(clientId)
    if (session !== undefined) this.look(session)
  }

  private look(session: Session): void {
    const mailbox = session.durable ? session.mailboxIfAny : null
    const count = mailbox === null ? 0 : mailbox.expire(this.clock.now(), this)
    if (count === 0 || session.connection !== null || session.maybeSent === 0) return
    // What was sent and not acknowledged comes first.
    session.maybeSent = Math.max(0, session.maybeSent - count)
    this.sessions.write(session)
  }
}
