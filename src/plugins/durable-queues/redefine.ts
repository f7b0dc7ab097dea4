/** A session's row names its queue: so that queue is known although its definition is damaged. */
import { readSessionRecord } from '../../broker/records.js'
import { hasCode } from '../../core/errors.js'
import type { QueueLimits } from '../../queue/queue.js'
import type { Definition } from '../../queue/records.js'
import { sessions, textOf } from '../../store/keys.js'
import type { Store } from '../../store/store.js'

/** Definitions of those of `ids` that are queues of sessions. */
export async function sessionQueues(
  store: Store,
  ids: ReadonlySet<number>,
  limits: QueueLimits,
): Promise<Map<number, Definition>> {
  const found = new Map<number, Definition>()
  for await (const { key, value } of store.disk.scan(sessions)) {
    const id = idIn(value)
    if (id !== undefined && ids.has(id)) found.set(id, { kind: 'session', name: textOf(key).toString(), limits, headed: true })
  }
  return found
}

function idIn(row: Buffer): number | undefined {
  try {
    return readSessionRecord(row).id
  } catch (error) {
    if (hasCode(error, 'store_damaged')) return undefined
    throw error
  }
}
