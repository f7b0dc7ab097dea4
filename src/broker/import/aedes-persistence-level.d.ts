/** The part of aedes-persistence-level 9 that the import reads with; the package has no types of its own. */
declare module 'aedes-persistence-level/asyncPersistence.js' {
  import type { Readable } from 'node:stream'

  export default class AsyncLevelPersistence {
    constructor(db: object)
    subscriptionsByClient(client: { id: string }): Promise<unknown[]>
    outgoingStream(client: { id: string }): Readable
    incomingGetPacket(client: { id: string }, packet: { messageId: number }): Promise<unknown>
    createRetainedStream(pattern: string): Readable
    streamWill(): Readable
  }
}
