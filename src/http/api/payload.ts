/** Payloads are bytes; JSON carries them as text where they are valid UTF-8, and as base64 otherwise. */
import { isUtf8 } from 'node:buffer'
import { AqueductError } from '../../core/errors.js'
import { hasUtf8, NO_UTF8 } from '../../core/utf8.js'

export type Encoding = 'text' | 'base64'

export function encode(bytes: Buffer): { body: string; encoding: Encoding } {
  return isUtf8(bytes)
    ? { body: bytes.toString('utf8'), encoding: 'text' }
    : { body: bytes.toString('base64'), encoding: 'base64' }
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** Throws `attribute_invalid` for a text that is not what `encoding` says. `name` begins the sentence. */
export function decode(body: string, encoding: Encoding, name: string): Buffer {
  if (encoding === 'text') {
    if (!hasUtf8(body)) throw new AqueductError('attribute_invalid', `${name} ${NO_UTF8}: send it as base64.`)
    return Buffer.from(body)
  }
  if (body.length % 4 !== 0 || !BASE64.test(body))
    throw new AqueductError('attribute_invalid', `${name} is not base64 (RFC 4648, with padding).`)
  return Buffer.from(body, 'base64')
}
