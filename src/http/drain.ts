/**
 * Closing the HTTP server in order: nothing new, what is under way to its end, within a bound.
 */
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../core/clock.js'

/**
 * `app.close()` alone waits for every connection, upgraded ones and idle ones of impatient clients included. What we wait for is that the
 * doors were told and that no request is under way. Call it after the doors are registered: its hook must be the last.
 */
export function drainOf(app: FastifyInstance, requests: Requests, clock: Clock, drain_ms: number): () => Promise<void> {
  let told = (): void => {}
  const doorsTold = new Promise<void>((resolve) => {
    told = resolve
  })
  app.register(async (last) => {
    last.addHook('preClose', async () => told())
  })
  const close = async (): Promise<void> => {
    // At once, and not after the hooks of the doors: the port is free from here on.
    app.server.close()
    requests.closing = true
    const cut = clock.after(drain_ms, () => app.server.closeAllConnections())
    const closed = app.close()
    await Promise.race([closed, doorsTold.then(() => requests.none())])
    cut.cancel()
    app.server.closeIdleConnections()
  }
  let closing: Promise<void> | undefined
  return () => (closing ??= close())
}

/** Counts requests from their head to the end of their answer. */
export class Requests {
  closing = false
  private underWay = 0
  private waiting: (() => void)[] = []
  private readonly done = (): void => {
    this.underWay--
    if (this.underWay > 0) return
    for (const go of this.waiting.splice(0)) go()
  }

  constructor(app: FastifyInstance) {
    app.addHook('onRequest', (_request, reply, next) => {
      this.underWay++
      reply.raw.once('close', this.done)
      if (this.closing) reply.header('connection', 'close')
      next()
    })
  }

  /** Resolves when none is under way. */
  none(): Promise<void> {
    return this.underWay === 0 ? Promise.resolve() : new Promise((resolve) => this.waiting.push(resolve))
  }
}
