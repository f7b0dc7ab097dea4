/**
 * The JSON API: a door that turns HTTP into operations and their results into JSON, and decides nothing itself.
 *
 * Always true: a request that is refused has changed nothing; an answer that says that something changed leaves after the commit; whoever has gone
 * is given no message.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Operations } from '../../operations/operations.js'
import type { Door } from '../server.js'
import { readJson, readMessages, readNothing } from './body.js'
import { checked } from './faults.js'
import { object } from './fields.js'
import { type GuardOptions, guard, preflight } from './guard.js'
import { messageRoutes } from './messages.js'
import { queueRoutes } from './queues.js'
import type { Input, Route } from './route.js'

export interface ApiOptions {
  readonly operations: Operations
  /** Largest JSON body. A raw message is bounded by its queue. */
  readonly max_body_bytes: number
  readonly guard: GuardOptions
}

export function apiDoor(o: ApiOptions): Door {
  const routes = [...queueRoutes(o.operations), ...messageRoutes(o.operations)]
  return (app) => {
    app.removeAllContentTypeParsers()
    // Bodies are read by the routes.
    app.addContentTypeParser('*', (_request, _payload, done) => done(null))
    guard(app, o.guard)
    const waiting = new Waiting()
    app.addHook('preClose', async () => waiting.end())
    const methods = new Map<string, string[]>()
    for (const route of routes) {
      register(app, route, o.max_body_bytes, waiting)
      methods.set(urlOf(route), [...(methods.get(urlOf(route)) ?? []), route.method])
    }
    for (const [url, known] of methods) preflight(app, url, known)
  }
}

/** The path as the router has it. */
const urlOf = ({ path }: Route): string => path.replaceAll(/\{(\w+)\}/g, ':$1')

const noQuery = object({})

function register(app: FastifyInstance, route: Route, bytes_max: number, waiting: Waiting): void {
  app.route({
    method: route.method,
    url: urlOf(route),
    handler: async (request, reply) => {
      const params = route.params === undefined ? undefined : checked(route.params, request.params, 'the path')
      const query = checked(route.query ?? noQuery, request.query, 'the query')
      const body = await bodyOf(request, route, params as { queue: string }, bytes_max)
      const input = { params, query, body } as unknown as Input<never, never, never>
      const result = await (route.waits === true ? waiting.run(reply, input, route) : route.run(input))
      reply.code(result.status).header('cache-control', 'no-store')
      if (result.body === undefined) return reply.send()
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(result.body))
    },
  })
}

function bodyOf(request: FastifyRequest, { body }: Route, params: { queue: string }, bytes_max: number): Promise<unknown> {
  if (body === undefined) return readNothing(request)
  return body.kind === 'json' ? readJson(request, body, bytes_max) : readMessages(request, body, params, bytes_max)
}

/** Requests whose answer may wait: each ends when its client goes, all of them when the server closes. */
class Waiting {
  private readonly all = new Set<AbortController>()
  private closing = false

  async run(reply: FastifyReply, input: Input<never, never, never>, route: Route): Promise<Awaited<ReturnType<Route['run']>>> {
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
