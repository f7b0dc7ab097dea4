/**
 * The JSON API: a door that turns HTTP into operations and their results into JSON, and decides nothing itself.
 *
 * Always true: a request that is refused has changed nothing; an answer that says that something changed leaves after the commit; whoever has gone
 * is given no message.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Refusals } from '../../core/refusals.js'
import type { Operations } from '../../operations/operations.js'
import { HttpError } from '../errors.js'
import type { Door } from '../server.js'
import { readJson, readMessages, readNothing, type Source } from './body.js'
import { bridgeRoutes } from './bridges.js'
import { checked } from './faults.js'
import { object } from './fields.js'
import { type GuardOptions, guard, preflight } from './guard.js'
import { messageRoutes } from './messages.js'
import { moveRoutes } from './moves.js'
import { openApiOf } from './openapi.js'
import { PAGE_POLICY, pageOfApi } from './page.js'
import { plainPaths } from './plain.js'
import { publishRoutes } from './publish.js'
import { queueRoutes } from './queues.js'
import { Receiving } from './receiving.js'
import type { Input, Result, Route } from './route.js'
import { sessionRoutes } from './sessions.js'
import { traceRoutes } from './trace.js'
import { Waiting } from './waiting.js'

export interface ApiOptions {
  readonly operations: Operations
  /** Largest JSON body. A raw message is bounded by its queue. */
  readonly max_body_bytes: number
  /** Bytes of bodies of all requests together. */
  readonly max_receiving_bytes?: number
  readonly refusals?: Refusals
  readonly guard: GuardOptions
  readonly version: string
}

const RECEIVING_BYTES_MAX = 64 * 1024 * 1024

export function apiDoor({ operations, max_body_bytes, max_receiving_bytes, refusals, guard: rules, version }: ApiOptions): Door {
  const routes = [queueRoutes, messageRoutes, moveRoutes, bridgeRoutes, publishRoutes, sessionRoutes, traceRoutes].flatMap((of) =>
    of(operations),
  )
  return (app) => {
    app.removeAllContentTypeParsers()
    // Bodies are read by the routes.
    app.addContentTypeParser('*', (_request, _payload, done) => done(null))
    guard(app, rules)
    const waiting = new Waiting()
    const receiving = new Receiving(max_receiving_bytes ?? RECEIVING_BYTES_MAX, refusals)
    app.addHook('preClose', async () => waiting.end())
    const methods = new Map<string, string[]>()
    for (const route of routes) {
      register(app, route, max_body_bytes, waiting, receiving)
      methods.set(urlOf(route), [...(methods.get(urlOf(route)) ?? []), route.method])
    }
    for (const [url, known] of methods) preflight(app, url, known)
    describeItself(app, routes, version)
  }
}

function register(app: FastifyInstance, route: Route, bytes_max: number, waiting: Waiting, receiving: Receiving): void {
  app.route({
    method: route.method,
    url: urlOf(route),
    handler: async (request, reply) => {
      const params = route.params === undefined ? undefined : checked(route.params, request.params, 'the path')
      checkEncoded(request.url)
      const query = checked(route.query ?? noQuery, request.query, 'the query')
      const body = await bodyOf(request, { receiving, response: reply.raw }, route, params as { queue: string }, bytes_max)
      const input = { params, query, body } as unknown as Input<never, never, never>
      const result = await (route.waits === true ? waiting.run(reply, input, route) : route.run(input))
      reply.code(result.status).header('cache-control', 'no-store')
      if (result.body === undefined) return reply.send()
      if (result.undelivered !== undefined) watch(reply.raw, result)
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(result.body))
    },
  })
}

/** The router leaves what it cannot decode as it is, and two texts would become one. */
function checkEncoded(url: string): void {
  const at = url.indexOf('?')
  if (at < 0 || !url.includes('%', at)) return
  try {
    decodeURIComponent(url.slice(at + 1))
  } catch {
    throw new HttpError('bad_request', 'The query is not percent-encoded UTF-8.')
  }
}

function watch(response: ServerResponse, result: Result): void {
  // A response that lost its socket says that it has finished, too.
  const { socket } = response
  let sent = false
  response.once('finish', () => {
    sent = socket?.destroyed === false && socket.errored === null
  })
  if (response.destroyed) result.undelivered?.()
  else response.once('close', () => void (sent || result.undelivered?.()))
}

function describeItself(app: FastifyInstance, routes: readonly Route[], version: string): void {
  const document = openApiOf(routes, version, plainPaths)
  const json = JSON.stringify(document)
  const page = pageOfApi(document)
  app.get('/openapi.json', async (_request, reply) => reply.type('application/json; charset=utf-8').send(json))
  app.get('/', async (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', PAGE_POLICY)
      .header('x-content-type-options', 'nosniff')
      .header('referrer-policy', 'no-referrer')
      .send(page),
  )
}

/** The path as the router has it. */
const urlOf = ({ path }: Route): string => path.replaceAll(/\{(\w+)\}/g, ':$1')

const noQuery = object({})

function bodyOf(
  request: FastifyRequest,
  from: Source,
  { body }: Route,
  params: { queue: string },
  bytes_max: number,
): Promise<unknown> {
  if (body === undefined) return readNothing(request, from)
  return body.kind === 'json' ? readJson(request, from, body, bytes_max) : readMessages(request, from, body, params, bytes_max)
}
