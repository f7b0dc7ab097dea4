import * as net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../src/core/clock.js'
import { hasCode } from '../src/core/errors.js'
import { type Log, silentLog } from '../src/core/log.js'
import { CLOSE_MS_MAX } from '../src/listeners/closing.js'
import { shareReadBuffer } from '../src/listeners/onread.js'
import { listenTcp, type TcpListener, type TcpOptions } from '../src/listeners/tcp.js'
import { ManualClock } from './support/clock.js'
import { Acceptor, connect, fillUp, once, readBytes } from './support/transports.js'

const open: TcpListener[] = []
const sockets: net.Socket[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const listener of open.splice(0)) {
    listener.destroyAll()
    await listener.close()
  }
})

async function start(options: Partial<TcpOptions> = {}) {
  const acceptor = new Acceptor()
  const clock = new ManualClock()
  const listener = await listenTcp({
    host: '127.0.0.1',
    port: 0,
    accept: acceptor.accept,
    clock,
    log: silentLog,
    ...options,
  })
  open.push(listener)
  const join = async (connectOptions: Partial<net.TcpNetConnectOpts> = {}) => {
    const [client, server] = await Promise.all([connect(listener.port, connectOptions), acceptor.next()])
    sockets.push(client)
    client.on('error', () => {})
    return { client, server }
  }
  return { acceptor, clock, listener, join }
}

describe.each([
  { way: 'the shared buffer', sharedReads: true },
  { way: "'data' events", sharedReads: false },
])('a TCP connection over $way', ({ sharedReads }) => {
  it('uses the way that it was asked for', async () => {
    const { listener, join } = await start({ sharedReads })
    expect(listener.sharedReads).toBe(sharedReads)
    const a = await join()
    const b = await join()
    for (const { client, server } of [a, b]) {
      client.write('one')
      await server.until(() => server.bytes === 3)
      client.write('two')
      await server.until(() => server.bytes === 6)
      expect(server.text).toBe('onetwo')
    }
    const buffers = new Set([...a.server.buffers, ...b.server.buffers])
    if (sharedReads) expect(buffers.size).toBe(1)
    else expect(buffers.size).toBeGreaterThan(1)
    expect(listener.connections).toBe(2)
  })

  it('knows its peer', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    expect(server.transport.remote).toBe(`127.0.0.1:${client.localPort}`)
    expect(server.transport.stream).toBeInstanceOf(net.Socket)
    expect(server.transport.request).toBeUndefined()
    client.destroy()
    await server.until(() => server.closes.length > 0)
    expect(server.transport.remote).toContain('127.0.0.1:')
  })

  it('carries 10,000 small writes both ways, byte by byte and in order', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    server.onData = (bytes) => {
      for (let i = 0; i < bytes.length; i++) server.transport.write(Buffer.from([bytes[i] as number]))
    }
    const sent = Buffer.alloc(10_000)
    for (let i = 0; i < sent.length; i++) sent[i] = (i * 7) & 0xff
    const echoed = readBytes(client, sent.length)
    for (let i = 0; i < sent.length; i++) client.write(sent.subarray(i, i + 1))
    expect(Buffer.compare(await echoed, sent)).toBe(0)
  })

  it('may use the buffer again when write returned true', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    const slab = Buffer.alloc(4)
    const got = readBytes(client, 400)
    for (let i = 0; i < 100; i++) {
      slab.fill(i)
      expect(server.transport.write(slab)).toBe(true)
      expect(server.transport.pendingBytes).toBe(0)
    }
    slab.fill(255)
    const bytes = await got
    for (let i = 0; i < 400; i++) expect(bytes[i]).toBe(i >> 2)
    expect(server.drains).toBe(0)
  })

  it('says when a reader that had stopped has taken everything', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    client.pause()
    const block = Buffer.alloc(1 << 20, 1)
    let written = fillUp(server.transport, block)
    // Small ones behind it wait too, and do not ask for a second notice.
    expect(server.transport.write(Buffer.alloc(10, 2))).toBe(false)
    written += 10
    expect(server.transport.pendingBytes).toBeGreaterThan(0)
    expect(server.drains).toBe(0)

    const got = readBytes(client, written)
    client.resume()
    const bytes = await got
    await server.until(() => server.drains > 0)
    expect(bytes.length).toBe(written)
    expect(bytes.subarray(-10).every((b) => b === 2)).toBe(true)
    expect(server.transport.pendingBytes).toBe(0)
    expect(server.drains).toBe(1)
    expect(server.transport.write(Buffer.from('x'))).toBe(true)
  })

  it('calls drained after each stall, also when the handler fills the socket from within drained', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    const block = Buffer.alloc(1 << 20)
    let rounds = 0
    server.onDrained = () => {
      if (++rounds < 3) fillUp(server.transport, block)
    }
    client.pause()
    fillUp(server.transport, block)
    client.resume()
    await server.until(() => server.drains === 3)
    expect(server.transport.pendingBytes).toBe(0)
    expect(rounds).toBe(3)
  })

  it('waits on when more is written while the last bytes are leaving', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    const big = Buffer.alloc(16 << 20)
    const pendingAtDrain: number[] = []
    server.onDrained = () => pendingAtDrain.push(server.transport.pendingBytes)
    let got = 0
    let added = false
    client.on('data', (chunk) => {
      got += chunk.length
      // The first has left, the second is on its way with our marker: the third comes behind both.
      if (!added && server.transport.pendingBytes === big.length) added = !server.transport.write(big)
    })
    server.transport.write(big)
    server.transport.write(big)
    await server.until(() => server.drains > 0)
    expect(added).toBe(true)
    expect(pendingAtDrain).toEqual([0])
    while (got < 3 * big.length) await once(client, 'data')
    expect(server.drains).toBe(1)
  })

  it('closes in order although it was paused', async () => {
    const { join, clock } = await start({ sharedReads })
    const { client, server } = await join()
    client.resume()
    server.transport.pause()
    client.write('unread')
    server.transport.write(Buffer.from('bye'))
    server.transport.end()
    await server.until(() => server.closes.length > 0)
    expect(server.closes).toEqual([undefined])
    expect(server.bytes).toBe(0)
    expect(clock.pending).toBe(0)
  })

  it('stops reading while paused, and loses nothing', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    server.onData = () => server.transport.pause()
    const sent = Buffer.alloc(8 << 20, 3)
    const flushed = new Promise<void>((resolve) => client.write(sent, () => resolve()))
    await server.until(() => server.bytes > 0)
    // What was read before the pause is at most one read; the rest waits in the kernel and at the client.
    const atPause = server.bytes
    expect(atPause).toBeLessThanOrEqual(65_536)
    const other = await join()
    other.client.write('a')
    await other.server.until(() => other.server.bytes === 1)
    expect(server.bytes).toBe(atPause)

    server.onData = undefined
    server.transport.resume()
    await server.until(() => server.bytes === sent.length)
    await flushed
  })

  it('reports a peer that closes in order once, without an error', async () => {
    const { listener, join } = await start({ sharedReads })
    const { client, server } = await join()
    client.end('bye')
    await server.until(() => server.closes.length > 0)
    expect(server.text).toBe('bye')
    expect(server.closes).toEqual([undefined])
    expect(listener.connections).toBe(0)
    expect(server.transport.write(Buffer.from('late'))).toBe(true)
    server.transport.end()
    server.transport.destroy()
    expect(server.closes).toEqual([undefined])
  })

  it('reports a reset once, with its error', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    client.resetAndDestroy()
    await server.until(() => server.closes.length > 0)
    expect((server.closes[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET')
    expect(server.closes.length).toBe(1)
  })

  it('survives a reset while it holds unsent bytes', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    client.pause()
    const block = Buffer.alloc(1 << 20)
    fillUp(server.transport, block)
    client.resetAndDestroy()
    await server.until(() => server.closes.length > 0)
    expect(server.closes.length).toBe(1)
    expect(server.closes[0]).toBeInstanceOf(Error)
    expect(server.drains).toBe(0)
  })

  it('sends what is pending before it closes', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    client.pause()
    const block = Buffer.alloc(1 << 20, 9)
    const written = fillUp(server.transport, block)
    server.transport.end()
    expect(server.transport.write(Buffer.from('no more'))).toBe(true)
    let got = 0
    client.on('data', (chunk) => {
      got += chunk.length
    })
    client.resume()
    await once(client, 'close')
    await server.until(() => server.closes.length > 0)
    expect(got).toBe(written)
    expect(server.closes).toEqual([undefined])
  })

  it('gives its last words to a peer that was still talking', async () => {
    const { join } = await start({ sharedReads })
    const { client, server } = await join()
    server.onData = () => {
      server.transport.write(Buffer.from('refused'))
      server.transport.end()
    }
    let got = ''
    client.on('data', (chunk) => {
      got += chunk.toString()
    })
    client.write(Buffer.alloc(4 << 20))
    await once(client, 'close')
    expect(got).toBe('refused')
    expect(server.chunks.length).toBe(1)
  })

  it('cuts off a peer that does not read what is left, at the bound and not before', async () => {
    const { clock, join } = await start({ sharedReads })
    const { client, server } = await join()
    client.pause()
    fillUp(server.transport, Buffer.alloc(1 << 20))
    server.transport.end()
    clock.advance(CLOSE_MS_MAX - 1)
    expect((server.transport.stream as net.Socket).destroyed).toBe(false)
    clock.advance(1)
    expect((server.transport.stream as net.Socket).destroyed).toBe(true)
    await server.until(() => server.closes.length > 0)
    expect(server.closes).toEqual([undefined])
    expect(clock.pending).toBe(0)
  })

  it('cuts off a peer that closed its half and does not read', async () => {
    const { clock, join } = await start({ sharedReads })
    const { client, server } = await join({ allowHalfOpen: true })
    client.pause()
    fillUp(server.transport, Buffer.alloc(1 << 20))
    const ended = once(server.transport.stream as net.Socket, 'end')
    client.end()
    await ended
    clock.advance(CLOSE_MS_MAX)
    await server.until(() => server.closes.length > 0)
    expect(server.closes).toEqual([undefined])
  })

  it('closes a connection whose handler throws, and no other', async () => {
    const errors: object[] = []
    const log: Log = { ...silentLog, error: (fields) => errors.push(fields) }
    const { join } = await start({ sharedReads, log })
    const bad = await join()
    const good = await join()
    bad.server.onData = () => {
      throw new Error('a bug')
    }
    bad.client.write('x')
    await bad.server.until(() => bad.server.closes.length > 0)
    expect(bad.server.closes[0]?.message).toBe('a bug')
    expect(errors.length).toBe(1)
    good.client.write('y')
    await good.server.until(() => good.server.bytes === 1)
  })

  it('frees its port at once when it closes, and open connections go on', async () => {
    const { listener, join } = await start({ sharedReads })
    const { client, server } = await join()
    await listener.close()
    await expect(connect(listener.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    const again = await listenTcp({
      host: '127.0.0.1',
      port: listener.port,
      accept: new Acceptor().accept,
      clock: systemClock,
      log: silentLog,
    })
    open.push(again)
    client.write('still here')
    await server.until(() => server.bytes === 10)
    const got = readBytes(client, 2)
    server.transport.write(Buffer.from('ok'))
    expect((await got).toString()).toBe('ok')
    listener.destroyAll()
    await server.until(() => server.closes.length > 0)
    expect(listener.connections).toBe(0)
  })
})

describe('opening a TCP listener', () => {
  const options = { host: '127.0.0.1', accept: new Acceptor().accept, clock: systemClock, log: silentLog }

  it('says where it listens', async () => {
    const { listener } = await start()
    expect(listener.address).toBe(`127.0.0.1:${listener.port}`)
    expect(listener.port).toBeGreaterThan(0)
  })

  it('names the setting when the port is in use', async () => {
    const { listener } = await start()
    const error = await listenTcp({ ...options, port: listener.port, setting: 'mqtt.port' }).catch((e: unknown) => e)
    expect(hasCode(error, 'port_in_use')).toBe(true)
    expect((error as Error).message).toContain(`127.0.0.1:${listener.port}`)
    expect((error as Error).message).toContain('mqtt.port')
  })

  it('names the host setting when the address is not ours', async () => {
    const error = await listenTcp({ ...options, host: '192.0.2.1', port: 0, setting: 'mqtt.port' }).catch((e: unknown) => e)
    expect(hasCode(error, 'port_in_use')).toBe(true)
    expect((error as Error).message).toContain('mqtt.host')
  })

  it('reads into the shared buffer on this version of Node', async () => {
    const { listener } = await start()
    expect(listener.sharedReads).toBe(true)
  })
})

describe('the probe for the shared read buffer', () => {
  const ignore = (): void => {}
  const goOn = (): boolean => true

  it('leaves a server alone that has other insides', () => {
    const noHandle = { _handle: null } as unknown as net.Server
    expect(shareReadBuffer(noHandle, ignore, goOn)).toBe(false)
    const otherHandle = { _handle: { onaccept: ignore } } as unknown as net.Server
    expect(shareReadBuffer(otherHandle, ignore, goOn)).toBe(false)
    expect(shareReadBuffer({} as net.Server, ignore, goOn)).toBe(false)
  })

  it('goes back to the documented way for good when an accepted handle lacks what it needs', () => {
    const calls: unknown[] = []
    const documented = (status: number, client: unknown): void => {
      calls.push([status, client])
    }
    const handle = { onconnection: documented }
    let adopted = 0
    expect(shareReadBuffer({ _handle: handle } as unknown as net.Server, () => adopted++, goOn)).toBe(true)
    expect(handle.onconnection).not.toBe(documented)
    const client = { readStart: ignore, readStop: ignore }
    handle.onconnection(0, client)
    expect(calls).toEqual([[0, client]])
    expect(handle.onconnection).toBe(documented)
    expect(adopted).toBe(0)
  })

  it('leaves accept errors to the documented way', () => {
    const calls: unknown[] = []
    const handle = { onconnection: (status: number, client: unknown) => calls.push([status, client]) }
    shareReadBuffer({ _handle: handle } as unknown as net.Server, ignore, goOn)
    const client = { useUserBuffer: ignore, readStart: ignore, readStop: ignore }
    handle.onconnection(-24, client)
    handle.onconnection(0, undefined)
    expect(calls).toEqual([
      [-24, client],
      [0, undefined],
    ])
  })
})
