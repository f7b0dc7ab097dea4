/**
 * What Node's HTTP server would do by itself, and what our clients need it to do: an answer that says what is wrong where Node gives an empty one or
 * none, an answer to a client that closes its side right after asking, no body that is sent in vain.
 *
 * Always true: a client that waits for "100 Continue" is told so only when its body is about to be read; otherwise the connection is closed with the
 * answer, since nobody knows whether the body follows.
 */
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { errorBody, HttpError, statusOf, writeFailure } from './errors.js'

/** May a page of this `Origin` read answers, at this `Host`? Undefined: the request has no such header. */
export type MayAsk = (origin: string | undefined, host: string | undefined) => boolean

/** We say it ourselves, in our own form. */
export const hostOptions: ServerOptions = { requireHostHeader: false }

const waiting = new WeakMap<IncomingMessage, ServerResponse>()

/** The body of this request is about to be read. */
export function goOn(request: IncomingMessage): void {
  waiting.get(request)?.writeContinue()
  waiting.delete(request)
}

/** Call it before doors are registered. */
export function teachManners(app: FastifyInstance, mayAsk: MayAsk | undefined): void {
  const { server } = app
  // A client that closes its side has asked and waits: `printf … | nc`, and load balancers that look whether we live.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response)
    app.routing(request, response)
  })
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const message = 'The only expectation that can be met here is "100-continue".'
    const body = JSON.stringify(errorBody({ code: 'expectation_failed', message }))
    const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(body) }
    response.writeHead(statusOf('expectation_failed'), { ...headers, connection: 'close' }).end(body)
  })
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    const code = 'method_not_allowed'
    writeFailure(socket, { status: statusOf(code), code, message: 'This is no proxy: CONNECT is not possible.' })
  })
  app.addHook('onRequest', async (request, reply) => {
    if (mayAsk !== undefined) letRead(request.raw, reply, mayAsk)
    checkHost(request.raw)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    if (waiting.delete(request.raw)) reply.header('connection', 'close')
    return payload
  })
}

/** Whatever the answer is: a page that may ask must be able to read what went wrong, too (CORS). */
export function letRead(request: IncomingMessage, reply: FastifyReply, mayAsk: MayAsk): void {
  const { origin, host } = request.headers
  if (origin === undefined) return
  reply.header('vary', 'origin')
  if (mayAsk(origin, host)) reply.header('access-control-allow-origin', origin).header('access-control-expose-headers', 'allow')
}

/** One `Host`, and in HTTP/1.1 not none (RFC 9112, 3.2). */
function checkHost({ rawHeaders, httpVersion }: IncomingMessage): void {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') hosts++
  if (hosts > 1) throw new HttpError('bad_request', 'The request has more than one Host.')
  if (hosts === 0 && httpVersion === '1.1')
    throw new HttpError('bad_request', 'The request has no Host, which HTTP/1.1 asks for.')
}
