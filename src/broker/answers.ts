/**
 * How many bytes of answers a client has not taken: those that wait for a commit, and those that were written for it and have not left for the
 * kernel. Deliveries do not count here: they stop by themselves (`Connection.writable`), while an answer follows from what the client sends, so that the
 * only way to stop answers is to stop reading.
 *
 * Always true: `held` is never less than what is held, and at most what was answered since half the bound was last found to have left.
 */
import type { Connection } from './connection.js'
import type { Output } from './output.js'
import type { Transport } from './transport.js'

/** What an answer costs while it waits for its commit: its places in the list of who waits. */
export const WAITING_BYTES = 32

export class Answers {
  /** At most this much is not taken. Compared for each packet; from half the bound on `over` finds out what is true of it. */
  held = 0
  /** That the client does not take them has been said in the log, which is done once for each connection. */
  told = false
  /** Written in answer, in two stretches of the output: what was written up to `olderEnd`, and after it. */
  private older = 0
  private olderEnd = 0
  private newer = 0

  /** An answer waits for its commit. */
  waits(bytes: number): void {
    this.held += bytes
  }

  /** It waits no longer. */
  came(bytes: number): void {
    this.held -= bytes
  }

  /** `bytes` of an answer were put into the output. */
  wrote(bytes: number): void {
    this.held += bytes
    this.newer += bytes
  }

  /** True when `bytesMax` or more are held. Call it from half of that on: what has left meanwhile is taken off first. */
  over(bytesMax: number, output: Output, transport: Transport): boolean {
    const left = output.handed - transport.pendingBytes
    if (left >= this.olderEnd) {
      this.held -= this.older
      this.older = this.newer
      this.newer = 0
      this.olderEnd = output.handed + output.bytes
      if (left >= this.olderEnd) {
        this.held -= this.older
        this.older = 0
      }
    }
    return this.held >= bytesMax
  }
}

/** The client `c` is not read from now on, since it does not take what it asked for: counted each time. */
export function tellStalled({ state, id, transport }: Connection, answers: Answers): void {
  state.stats.inputStalls++
  if (answers.told) return
  answers.told = true
  const fields = { client: id, remote: transport.remote, unread_bytes: answers.held }
  state.seldom.warn(fields, 'a client does not take its answers: nothing more of it is read until it does')
}
