/**
 * The HTTP server that all doors share: one port for health, metrics, the JSON API, later doors, and MQTT over WebSocket.
 *
 * A door is a folder here with one `Door`: a function that registers its routes on its own scope, so that its parsers, hooks
 * and error form are its own. What a door does not handle falls back to the errors of this file.
 *
 * Always true: every 4xx and 5xx that no door has formed itself is `{"error": {"code", "message"}}`.
 */
import type { ServerOptions } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import { cannotListen, formatAddress } from '../core/listen.js'
import type { Log } from '../core/log.js'
import type { Refusals } from '../core/refusals.js'
import { Seldom } from '../core/seldom.js'
import type { MetricsText } from '../metrics/registry.js'
import { AllowedMethods } from './allow.js'
import { boundConnections, type SocketPlaces } from './connections.js'
import { drainOf, Requests } from './drain.js'
import { answerBrokenRequest, errorBody, failureOf, RETRY_AFTER_S } from './errors.js'
import { type Readiness, registerHealth } from './health.js'
import { hostOptions, letRead, type MayAsk, teachManners } from './manners.js'
import { boundAnswers } from './sending.js'
import { takeUpgrades, type UpgradeHandler, upgradeOptions } from './upgrades.js'

/** Registers routes on `app`, a scope of its own. What it has to end or release when the server closes goes into a `preClose` hook. */
export type Door = (app: FastifyInstance) => void | Promise<void>

export interface HttpOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** The key to name when the port cannot be opened. */
  readonly setting?: string
  /** Asked by `/readyz`. */
  readonly readiness: () => Readiness
  readonly metrics: MetricsText
  readonly doors?: readonly Door[]
  /** Takes WebSocket upgrades; without it there are none. */
  readonly upgrade?: UpgradeHandler
  /** True when a request with this `Host` can be meant for us; others are refused, whatever they ask for. Default: any. */
  readonly isOurs?: (host: string | undefined) => boolean
  /** Connections at once, upgraded ones left out. */
  readonly max_connections?: number
  /** Bytes of answers that clients have not taken. */
  readonly max_sending_bytes?: number
  readonly places?: SocketPlaces
  readonly refusals?: Refusals
  /** Pages of which origins may read answers; without it none may, but where a door says so. */
  readonly mayAsk?: MayAsk
  /** Largest body, unless a route has its own limit. */
  readonly max_body_bytes?: number
  /** How long a request may take to arrive whole. */
  readonly request_ms?: number
  /** How long `close` waits for requests under way. */
  readonly drain_ms?: number
  readonly clock: Clock
  readonly log: Log
}

export interface HttpListener {
  readonly port: number
  readonly address: string
  /**
   * Stops accepting at once, lets requests under way finish (at most `drain_ms`) and resolves. WebSockets go on: their owner
   * ends them.
   */
  close(): Promise<void>
}

const BODY_BYTES_MAX = 1024 * 1024
const DRAIN_MS = 5_000
/** A request must have arrived whole in this time. The answer may take longer: long polls do. */
const REQUEST_MS_MAX = 30_000
/** The same for its head, from when the connection was made. */
const HEAD_MS_MAX = 10_000
/** How exactly these are kept. */
const CHECK_MS = 1_000
/** How long a connection without a request is kept. */
const IDLE_MS_MAX = 72_000
const CONNECTIONS_MAX = 1_000
const SENDING_BYTES_MAX = 64 * 1024 * 1024
/** A name in a path may be as long as Node lets a request line be. */
const PARAM_LENGTH_MAX = 16_384

/** Opens the server. Rejects with `port_in_use`, naming the setting, when it cannot. */
export async function startHttp(options: HttpOptions): Promise<HttpListener> {
  const { host, port, log } = options
  const setting = options.setting ?? 'http.port'
  const app = fastify({
    logger: false,
    bodyLimit: options.max_body_bytes ?? BODY_BYTES_MAX,
    requestTimeout: options.request_ms ?? REQUEST_MS_MAX,
    keepAliveTimeout: IDLE_MS_MAX,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    // While closing, a request on a connection that is already open is still answered, in the doors' own form.
    return503OnClosing: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => {
      if (options.mayAsk !== undefined) letRead(request.raw, reply, options.mayAsk)
      answerFailure(error, reply)
    },
    // Node looks at its deadlines every 30 s by itself.
    http: {
      ...upgradeOptions,
      ...hostOptions,
      headersTimeout: Math.min(options.request_ms ?? HEAD_MS_MAX, HEAD_MS_MAX),
      connectionsCheckingInterval: CHECK_MS,
    } as ServerOptions,
  })
  answerErrors(app, new Seldom(log, () => options.clock.uptime_ms(), { lines: 1 }), options.refusals)
  boundConnections(app.server, {
    max_connections: options.max_connections ?? CONNECTIONS_MAX,
    places: options.places,
    refusals: options.refusals,
    upgrades: options.upgrade !== undefined,
  })
  boundAnswers(app, options.max_sending_bytes ?? SENDING_BYTES_MAX, options.refusals)
  teachManners(app, options.mayAsk)
  if (options.isOurs !== undefined) refuseForeignHosts(app, options.isOurs)
  const requests = new Requests(app)
  registerHealth(app, options.readiness, options.metrics)
  for (const door of options.doors ?? []) app.register(async (scope) => door(scope))
  const close = drainOf(app, requests, options.clock, options.drain_ms ?? DRAIN_MS)
  if (options.upgrade !== undefined) takeUpgrades(app.server, options.upgrade, app.routing)
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw cannotListen(host, port, setting, error as NodeJS.ErrnoException)
  }
  const bound = app.server.address() as AddressInfo
  return { port: bound.port, address: formatAddress(bound.address, bound.port), close }
}

function answerErrors(app: FastifyInstance, log: Seldom, refusals: Refusals | undefined): void {
  const allowed = new AllowedMethods()
  app.addHook('onRoute', ({ method, url }) => allowed.add(method, url))
  app.setErrorHandler((error, request, reply) => {
    const failure = answerFailure(error, reply)
    if (failure.code === 'body_too_large') refusals?.count('http.max_body_bytes', { remote: request.ip })
    if (failure.status >= 500)
      log.error(
        { err: error, method: request.method, code: failure.code },
        'a request failed',
        `${failure.code} ${messageOf(error)}`,
      )
  })
  app.setNotFoundHandler((request, reply) => answerNotFound(request, reply, allowed.of(request.url)))
}

function answerFailure(error: unknown, reply: FastifyReply): { status: number; code: string } {
  const failure = failureOf(error)
  if (failure.code === 'busy') reply.header('retry-after', RETRY_AFTER_S)
  reply
    .code(failure.status)
    .type(JSON_TYPE)
    .send(JSON.stringify(errorBody(failure)))
  return failure
}

/** A page of any name can have that name resolve to this machine; its `Host` is what tells. */
function refuseForeignHosts(app: FastifyInstance, isOurs: (host: string | undefined) => boolean): void {
  app.addHook('onRequest', async ({ headers: { host } }) => {
    if (!isOurs(host))
      throw new AqueductError('not_authorised', `This is not ${host ?? ''}. The setting http.allow_origins can say that it is.`)
  })
}

function answerNotFound(request: FastifyRequest, reply: FastifyReply, methods: string[]): FastifyReply {
  if (methods.length === 0)
    return reply.code(404).send(errorBody({ code: 'not_found', message: 'There is nothing at this path.' }))
  const allow = methods.join(', ')
  const message = `${request.method} is not possible here; ${allow} ${methods.length > 1 ? 'are' : 'is'}.`
  return reply
    .code(405)
    .header('allow', allow)
    .send(errorBody({ code: 'method_not_allowed', message }))
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const JSON_TYPE = 'application/json; charset=utf-8'
