/**
 * Answers on their way to clients: those that are not taken are in memory. All together are bounded in bytes; beyond it the one that has been on its way
 * longest is cut, since who reads its answers has long had it.
 *
 * Always true: a small answer is never counted and never cut.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Refusals } from '../core/refusals.js'

/** Not counted: what a socket's own buffers hold. */
const SMALL_BYTES = 64 * 1024

export function boundAnswers(app: FastifyInstance, max_bytes: number, refusals: Refusals | undefined): void {
  const under = new Map<ServerResponse, number>()
  let bytes = 0
  const done = (response: ServerResponse): void => {
    bytes -= under.get(response) ?? 0
    under.delete(response)
  }
  app.addHook('onSend', (_request, reply, payload, next) => {
    const size = typeof payload === 'string' ? payload.length : Buffer.isBuffer(payload) ? payload.length : 0
    if (size > SMALL_BYTES) {
      const response = reply.raw
      for (const [oldest] of under) {
        if (bytes + size <= max_bytes) break
        refusals?.count('http.max_sending_bytes', { remote: oldest.socket?.remoteAddress })
        done(oldest)
        oldest.destroy()
      }
      under.set(response, size)
      bytes += size
      response.once('close', () => done(response))
      response.once('finish', () => done(response))
    }
    next()
  })
}
