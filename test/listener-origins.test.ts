import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { makeSettings } from '../src/config/load.js'
import { parseOrigin } from '../src/core/origin.js'
import { originRule } from '../src/listeners/origins.js'
import { startTestApp } from './support/broker.js'

const HOST = 'broker.example:8080'
const byDefault = originRule([])

describe('an origin', () => {
  it.each([
    ['https://dash.example', 'https', 'dash.example', 'dash.example'],
    ['HTTPS://Dash.Example:443', 'https', 'dash.example', 'dash.example'],
    ['http://dash.example:443', 'http', 'dash.example:443', 'dash.example'],
    ['http://127.1:80', 'http', '127.0.0.1', '127.0.0.1'],
    ['http://[0:0::1]:3000', 'http', '[::1]:3000', '[::1]'],
    ['App-Extension://AbC:1', 'app-extension', 'abc:1', 'abc'],
  ])('%s has a normal form', (text, scheme, host, hostname) => {
    expect(parseOrigin(text)).toEqual({ scheme, host, hostname })
  })

  it.each([
    '',
    'null',
    '*',
    'dash.example',
    '//dash.example',
    'https:dash.example',
    'https://',
    'https:///',
    'https://dash.example/',
    'https://dash.example?x',
    'https://dash.example#x',
    'https://user@dash.example',
    'https://dash.example\\x',
    'https://dash.example:65536',
    'https://dash.example:x',
    'https://*.example',
    'https://[::1',
    'https://a.example, https://b.example',
    'https://a.example https://b.example',
    ' https://a.example',
    'https://a.example\n',
  ])('is not what %j is', (text) => {
    expect(parseOrigin(text)).toBeUndefined()
  })
})

describe('a WebSocket upgrade', () => {
  it('without an origin is taken: it is no page', () => {
    expect(byDefault(undefined, HOST)).toBe(true)
    expect(byDefault(undefined, undefined)).toBe(true)
  })

  it.each([
    ['http://broker.example:8080', HOST],
    ['HTTP://BROKER.example:8080', 'Broker.Example:8080'],
    ['https://broker.example', 'broker.example'],
    ['https://broker.example', 'broker.example:443'],
    ['https://broker.example:443', 'broker.example'],
    ['http://192.0.2.7:8080', '192.0.2.7:8080'],
    ['http://[2001:db8::7]:8080', '[2001:DB8:0::7]:8080'],
  ])('from %s to %s is taken: the page came from there', (origin, host) => {
    expect(byDefault(origin, host)).toBe(true)
  })

  it.each([
    'http://localhost',
    'http://LOCALHOST:3000',
    'https://app.localhost:5173',
    'http://127.0.0.1:8080',
    'http://127.255.0.3',
    'http://[::1]:3000',
  ])('from %s is taken: the page is of this machine', (origin) => {
    expect(byDefault(origin, HOST)).toBe(true)
    expect(byDefault(origin, undefined)).toBe(true)
  })

  it.each([
    'https://dash.example',
    'http://broker.example',
    'http://broker.example:8081',
    'https://broker.example:80800',
    'http://www.broker.example:8080',
    'http://broker.example.evil.example:8080',
    'http://localhost.evil.example',
    'http://evillocalhost',
    'http://127.0.0.1.evil.example',
    'http://128.0.0.1',
    'http://[::2]',
    'file://',
    'app://localhost',
    'app://broker.example:8080',
    'null',
    'undefined',
    '',
    '*',
    'http://localhost/',
    'http://localhost@evil.example',
    'http://localhost, http://evil.example',
  ])('from %j is refused', (origin) => {
    expect(byDefault(origin, HOST)).toBe(false)
    expect(byDefault(origin, undefined)).toBe(false)
  })

  it('is not its own by a host header that is none', () => {
    expect(byDefault('http://evil.example', 'x@evil.example')).toBe(false)
    expect(byDefault('http://evil.example', 'evil.example/')).toBe(false)
    expect(byDefault('null', 'null')).toBe(false)
  })

  it('from a listed origin is taken, however it is written, and from no other', () => {
    const rule = originRule(['https://Dash.example:443', 'http://dash.example:3000', 'app-extension://abc'])
    for (const origin of ['https://dash.example', 'HTTPS://DASH.EXAMPLE', 'http://dash.example:3000', 'app-extension://abc']) {
      expect(rule(origin, HOST), origin).toBe(true)
    }
    for (const origin of [
      'http://dash.example',
      'https://dash.example:3000',
      'https://a.dash.example',
      'app-extension://abcd',
      'null',
      'x',
    ]) {
      expect(rule(origin, HOST), origin).toBe(false)
    }
    expect(rule('http://localhost', HOST)).toBe(true)
  })

  it('from anywhere is taken where * is listed', () => {
    const rule = originRule(['https://dash.example', '*'])
    for (const origin of ['https://evil.example', 'null', '', undefined]) expect(rule(origin, HOST)).toBe(true)
  })
})

describe('http.allow_origins', () => {
  it('takes origins and *', () => {
    const allow_origins = ['https://dash.example', 'http://[::1]:3000', 'app-extension://abc', '*']
    expect(makeSettings({ http: { allow_origins } }).http.allow_origins).toEqual(allow_origins)
  })

  it.each(['null', '', 'dash.example', 'https://dash.example/', 'https://*.example'])('refuses %j', (origin) => {
    expect(() => makeSettings({ http: { allow_origins: [origin] } })).toThrow('http.allow_origins')
  })

  it('reaches the listener of the program', async () => {
    const app = await startTestApp({ http: { allow_origins: ['https://dash.example'] } })
    const answer = (origin: string): Promise<string> =>
      new Promise((resolve) => {
        const client = new WebSocket(`ws://127.0.0.1:${app.httpPort}/mqtt`, 'mqtt', { origin })
        client.on('error', (error) => resolve(error.message))
        client.on('open', () => {
          client.terminate()
          resolve('open')
        })
      })
    expect(await answer('https://dash.example')).toBe('open')
    expect(await answer('https://foreign.example')).toContain('403')
    await app.close()
  })
})
