/**
 * Keeps web pages of foreign origins away from the API, and lets those that may ask read the answers (CORS). A program that is no browser sends no
 * `Origin` and notices nothing of it.
 */
import type { FastifyInstance } from 'fastify'
import { AqueductError } from '../../core/errors.js'

export interface GuardOptions {
  /** May a page of this `Origin` ask, at this `Host`? Undefined: the request has no such header. */
  mayAsk(origin: string | undefined, host: string | undefined): boolean
}

export function guard(app: FastifyInstance, o: GuardOptions): void {
  app.addHook('onRequest', async (request, reply) => {
    const { origin, host } = request.headers
    if (origin === undefined) return
    reply.header('vary', 'origin')
    if (!o.mayAsk(origin, host))
      throw new AqueductError('not_authorised', 'Pages of this origin may not ask. The setting http.allow_origins can allow it.')
    reply.header('access-control-allow-origin', origin)
  })
}

/** What a browser asks before a request that it would not send otherwise. */
export function preflight(app: FastifyInstance, url: string, methods: readonly string[]): void {
  app.options(url, async (_request, reply) =>
    reply
      .code(204)
      .header('access-control-allow-methods', methods.join(', '))
      .header('access-control-allow-headers', 'content-type')
      .header('access-control-max-age', '600')
      .header('allow', [...methods, 'OPTIONS'].join(', '))
      .send(),
  )
}
