/** `/healthz` (does the process live), `/readyz` (are messages taken and acknowledged) and `/metrics`. */
import type { FastifyInstance } from 'fastify'
import type { MetricsText } from '../metrics/registry.js'
import { errorBody } from './errors.js'

export interface Readiness {
  readonly ready: boolean
  /** Why not, as a sentence. */
  readonly reason?: string
}

export function registerHealth(app: FastifyInstance, readiness: () => Readiness, metrics: MetricsText): void {
  app.get('/healthz', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const { ready, reason } = readiness()
    reply.header('cache-control', 'no-store')
    if (ready) return reply.send({ status: 'ready' })
    return reply.code(503).send(errorBody({ code: 'not_ready', message: reason ?? 'Aqueduct is not ready.' }))
  })
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.text()
    return reply.header('cache-control', 'no-store').type(metrics.contentType).send(text)
  })
}
