/** Requests whose answer may wait (long polls): each ends when its client goes, all of them when the server closes. */
import type { FastifyReply } from 'fastify'
import type { Input, Result, Route } from './route.js'

export class Waiting {
  private readonly all = new Set<AbortController>()
  private closing = false

  async run(reply: FastifyReply, input: Input<never, never, never>, route: Route): Promise<Result> {
    const gone = new AbortController()
    const leave = (): void => gone.abort()
    reply.raw.once('close', leave)
    this.all.add(gone)
    if (this.closing || reply.raw.destroyed) gone.abort()
    try {
      return await route.run({ ...(input as object), signal: gone.signal } as unknown as Input<never, never, never>)
    } finally {
      this.all.delete(gone)
      reply.raw.off('close', leave)
    }
  }

  end(): void {
    this.closing = true
    for (const gone of this.all) gone.abort()
  }
}
