import { describe, expect, it } from 'vitest'
import { cannotListen, formatAddress } from '../src/core/listen.js'

const failure = (fields: object): NodeJS.ErrnoException => Object.assign(new Error('listen failed'), fields)

describe('an address', () => {
  it.each([
    ['127.0.0.1', 1883, '127.0.0.1:1883'],
    ['::1', 1883, '[::1]:1883'],
    ['::', 0, '[::]:0'],
    ['::ffff:10.0.0.7', 5, '10.0.0.7:5'],
    ['::ffff:a00:7', 5, '[::ffff:a00:7]:5'],
    ['localhost', undefined, 'localhost:0'],
    ['', 5, 'unknown'],
    [undefined, undefined, 'unknown'],
  ])('%s, %s is written %s', (host, port, written) => {
    expect(formatAddress(host, port)).toBe(written)
  })
})

describe('a port that could not be opened', () => {
  it.each([
    ['EADDRINUSE', 'in use', 'http.port'],
    ['EACCES', '1024', 'http.port'],
    ['EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'http.host'],
  ])('%s says what to change', (code, word, setting) => {
    const cause = failure({ code, syscall: 'listen' })
    const error = cannotListen('::1', 80, 'http.port', cause)
    expect(error.code).toBe('port_in_use')
    expect(error.message).toContain('[::1]:80')
    expect(error.message).toContain(word)
    expect(error.message).toContain(`et ${setting} to`)
    expect(error.origin).toBe(cause)
  })

  it('is internal when it was not the system that refused', () => {
    for (const cause of [failure({}), failure({ code: 'FST_ERR_PLUGIN_TIMEOUT' })]) {
      const error = cannotListen('127.0.0.1', 80, 'http.port', cause)
      expect(error.code).toBe('internal')
      expect(error.message).toContain('listen failed')
      expect(error.message).not.toContain('http.port')
    }
  })
})
