/**
 * HTTP upgrades. Node takes every request with an `Upgrade` header from the router as soon as somebody listens for upgrades, also one
 * that merely offers `h2c` and would be content with HTTP/1.1 (JDK and curl clients do). Those are given back.
 */
import { type IncomingMessage, type Server, type ServerOptions, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { statusOf, writeFailure } from './errors.js'

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void
type Route = (request: IncomingMessage, response: ServerResponse) => void

/** WebSocket upgrades go to `handler`; any other upgrade is answered as if it had not been offered. */
export function takeUpgrades(server: Server, handler: UpgradeHandler, route: Route): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket') handler(request, socket, head)
    else answerPlainly(request, socket as Socket, route)
  })
}

/** Server options that spare newer versions of Node the detour; Node 20 does not know them. */
export const upgradeOptions: ServerOptions & { shouldUpgradeCallback(request: IncomingMessage): boolean } = {
  shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
}

function answerPlainly(request: IncomingMessage, socket: Socket, route: Route): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  if ((length !== undefined && Number(length) > 0) || encoding !== undefined) {
    // Its body is no longer parsed for us.
    writeFailure(socket, {
      status: statusOf('bad_request'),
      code: 'bad_request',
      message: `Send this request as HTTP/1.1, without "Upgrade: ${request.headers.upgrade ?? ''}".`,
    })
    return
  }
  socket.on('error', () => socket.destroy())
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  // Nobody watches over this socket any more: a peer that does not close would keep it.
  response.once('finish', () => socket.destroySoon())
  route(request, response)
}
