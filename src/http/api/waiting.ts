/**
 * Requests whose answer may wait (long polls): each ends when its client goes, all of them when the server closes. A client that closes its side while it
 * waits has gone; one that does so right after asking is answered at once, with what is there.
 */
import type { FastifyReply } from 'fastify'
import type { Input, Result, Route } from './route.js'

export class Waiting {
  private readonly all = new Set<() => void>()
  private closing = false

  async run(reply: FastifyReply, input: Input<never, never, never>, route: Route): Promise<Result> {
    const gone = new AbortController()
    const leave = new AbortController()
    const onLeave = (): void => leave.abort()
    const onGone = (): void => {
      gone.abort()
      leave.abort()
    }
    const { socket } = reply.request.raw
    reply.raw.once('close', onGone)
    socket.once('end', onLeave)
    this.all.add(onGone)
    if (this.closing || reply.raw.destroyed) onGone()
    if (socket.readableEnded) onLeave()
    try {
      const signals = { signal: gone.signal, leave: leave.signal }
      return await route.run({ ...(input as object), ...signals } as unknown as Input<never, never, never>)
    } finally {
      this.all.delete(onGone)
      reply.raw.off('close', onGone)
      socket.off('end', onLeave)
    }
  }

  end(): void {
    this.closing = true
    for (const leave of this.all) leave()
  }
}
