/**
 * The HTTP server that all doors share: one port for health, metrics, the JSON API, later doors, and MQTT over WebSocket.
 *
 * A door is a folder here with one `Door`: a function that registers its routes on its own scope, so that its parsers, hooks
 * and error form are its own. What a door does not handle falls back to the errors of this file.
 *
 * Always true: every 4xx and 5xx that no door has formed itself is `{"error": {"code", "message"}}`.
 */
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../core/clock.js'
import { cannotListen, formatAddress } from '../core/listen.js'
import type { Log } from '../core/log.js'
import type { MetricsText } from '../metrics/registry.js'
import { AllowedMethods } from './allow.js'
import { drainOf, Requests } from './drain.js'
import { answerBrokenRequest, errorBody, failureOf } from './errors.js'
import { type Readiness, registerHealth } from './health.js'
import { hostOptions, letRead, type MayAsk, teachManners } from './manners.js'
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
  /** Pages of which origins may read answers; without it none may, but where a door says so. */
  readonly mayAsk?: MayAsk
  /** Largest body, unless a route has its own limit. */
  readonly max_body_bytes?: number
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
/** A name in a path may be as long as Node lets a request line be. */
const PARAM_LENGTH_MAX = 16_384

/** Opens the server. Rejects with `port_in_use`, naming the setting, when it cannot. */
export async function startHttp(options: HttpOptions): Promise<HttpListener> {
  const { host, port, log } = options
  const setting = options.setting ?? 'http.port'
  const app = fastify({
    logger: false,
    bodyLimit: options.max_body_bytes ?? BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    // While closing, a request on a connection that is already open is still answered, in the doors' own form.
    return503OnClosing: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => {
      if (options.mayAsk !== undefined) letRead(request.raw, reply, options.mayAsk)
      answerFailure(error, reply)
    },
    http: { ...upgradeOptions, ...hostOptions },
  })
  answerErrors(app, log)
  teachManners(app, options.mayAsk)
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

function answerErrors(app: FastifyInstance, log: Log): void {
  const allowed = new AllowedMethods()
  app.addHook('onRoute', ({ method, url }) => allowed.add(method, url))
  app.setErrorHandler((error, request, reply) => {
    const failure = answerFailure(error, reply)
    if (failure.status >= 500) log.error({ err: error, method: request.method, code: failure.code }, 'a request failed')
  })
  app.setNotFoundHandler((request, reply) => answerNotFound(request, reply, allowed.of(request.url)))
}

function answerFailure(error: unknown, reply: FastifyReply): { status: number; code: string } {
  const failure = failureOf(error)
  reply
    .code(failure.status)
    .type(JSON_TYPE)
    .send(JSON.stringify(errorBody(failure)))
  return failure
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

const JSON_TYPE = 'application/json; charset=utf-8'
