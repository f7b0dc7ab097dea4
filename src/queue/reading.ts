/** Reading the message of an entry that somebody holds. */
import { isLost } from '../store/log.js'
import type { MessageView } from '../store/message.js'
import type { Entry, SessionQueue } from './queue.js'

/** How long whoever could not read a message waits before it tries again: the disk may be back by then. */
export const READ_AGAIN_MS = 1_000

/** The message of `entry`; undefined: it must be loaded; null: it is damaged or gone, so the entry leaves as `damaged`. */
export function readEntry(queue: Pick<SessionQueue, 'read'>, entry: Entry): MessageView | undefined | null {
  try {
    return queue.read(entry)
  } catch (error) {
    if (isLost(error)) return null
    throw error
  }
}
