/**
 * Connections of the HTTP server: no more than there may be, and the one that has been idle longest goes for a new one. Upgraded ones are their owner's and
 * not counted.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Refusals } from '../core/refusals.js'

/** Sockets that all listeners share; see `listeners/places.ts`. */
export interface SocketPlaces {
  take(): boolean
  leave(): void
}

export interface ConnectionLimits {
  readonly max_connections: number
  readonly places: SocketPlaces | undefined
  readonly refusals: Refusals | undefined
  /** Somebody takes upgrades; listening for them alone would make Node take each for one. */
  readonly upgrades: boolean
}

export function boundConnections(server: Server, { max_connections, places, refusals, upgrades }: ConnectionLimits): void {
  const open = new Set<Duplex>()
  /** Those without a request under way, the one that became so first in front. */
  const idle = new Set<Duplex>()
  const forget = (socket: Duplex): void => {
    open.delete(socket)
    idle.delete(socket)
  }
  server.on('connection', (socket: Socket) => {
    if (places !== undefined) {
      if (!places.take()) {
        socket.destroy()
        return
      }
      socket.once('close', () => places.leave())
    }
    if (open.size >= max_connections) {
      refusals?.count('http.max_connections', { remote: socket.remoteAddress })
      const [longest] = idle
      if (longest === undefined) {
        socket.destroy()
        return
      }
      forget(longest)
      longest.destroy()
    }
    open.add(socket)
    idle.add(socket)
    socket.once('close', () => forget(socket))
  })
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket)
    response.once('close', () => {
      if (open.has(socket)) idle.add(socket)
    })
  })
  if (upgrades) server.prependListener('upgrade', (_request, socket: Duplex) => forget(socket))
}
