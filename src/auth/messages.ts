/**
 * The two messages that a client sends in SCRAM [RFC 5802 7], read strictly. A string instead of a message says what is wrong with it; nothing that
 * a client sends makes these throw.
 */
import { isUtf8 } from 'node:buffer'
import { decode } from './credential.js'

/** The longest message that is looked at. */
export const MESSAGE_BYTES_MAX = 4096
/** Characters of a nonce; clients use 18 to 48. */
export const NONCE_LENGTH_MAX = 256
const PROOF_BYTES = 32

export interface ClientFirst {
  /** As it came, since the client's second message repeats it. */
  readonly header: string
  /** What is signed of it. */
  readonly bare: string
  readonly name: string
  /** As whom the client wants to act; undefined: as who it is. */
  readonly actAs: string | undefined
  readonly nonce: string
}

export interface ClientFinal {
  /** Base64 of the channel binding. */
  readonly binding: string
  readonly nonce: string
  readonly proof: Buffer
  /** What is signed of it. */
  readonly withoutProof: string
}

/** Channel binding or not, then as whom the client acts; the rest is the message proper. */
const HEADER = /^([ny]|p=[A-Za-z0-9.-]+),(?:a=([^,]+))?,/
const NONCE = /^r=([\x21-\x2b\x2d-\x7e]+)$/
const EXTENSION = /^[A-Za-z]=./su
const FORBIDDEN_EXTENSION = 'a mandatory extension is not supported'

export function readClientFirst(data: Buffer): ClientFirst | string {
  const text = textOf(data)
  const found = text === undefined ? null : HEADER.exec(text)
  if (text === undefined || found === null) return 'the first message is malformed'
  const [header, binding, actAs] = found
  if (binding.startsWith('p=')) return 'channel binding is not supported'
  const bare = text.slice(header.length)
  const [name, nonce, ...extensions] = bare.split(',')
  if (name.startsWith('m=')) return FORBIDDEN_EXTENSION
  const plainName = name.startsWith('n=') ? unescapeName(name.slice(2)) : undefined
  const plainActAs = actAs === undefined ? undefined : unescapeName(actAs)
  if (plainName === undefined || (actAs !== undefined && plainActAs === undefined)) return 'the name is malformed'
  const random = nonceOf(nonce)
  if (random === undefined) return 'the nonce is malformed'
  const wrong = extensionFault(extensions)
  if (wrong !== undefined) return wrong
  return { header, bare, name: plainName, actAs: plainActAs, nonce: random }
}

export function readClientFinal(data: Buffer): ClientFinal | string {
  const text = textOf(data)
  const parts = text?.split(',') ?? []
  const last = parts.pop()
  const [binding, nonce, ...extensions] = parts
  if (text === undefined || last === undefined || binding === undefined) return 'the second message is malformed'
  if (binding.startsWith('m=')) return FORBIDDEN_EXTENSION
  const proof = last.startsWith('p=') ? decode(last.slice(2)) : undefined
  if (!binding.startsWith('c=') || proof?.length !== PROOF_BYTES) return 'the second message is malformed'
  // Ours is behind the client's.
  const random = nonceOf(nonce, 2 * NONCE_LENGTH_MAX)
  if (random === undefined) return 'the nonce is malformed'
  const wrong = extensionFault(extensions)
  if (wrong !== undefined) return wrong
  return { binding: binding.slice(2), nonce: random, proof, withoutProof: text.slice(0, -(last.length + 1)) }
}

function textOf(data: Buffer): string | undefined {
  if (data.length > MESSAGE_BYTES_MAX || !isUtf8(data) || data.includes(0)) return undefined
  return data.toString('utf8')
}

/** `=2C` and `=3D` stand for comma and equals sign; any other use of `=` is wrong. */
function unescapeName(text: string): string | undefined {
  if (text === '' || /=(?!2C|3D)/.test(text)) return undefined
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=')
}

function nonceOf(part: string | undefined, length_max = NONCE_LENGTH_MAX): string | undefined {
  const found = part === undefined ? undefined : NONCE.exec(part)?.[1]
  return found === undefined || found.length > length_max ? undefined : found
}

/** Extensions that nobody has defined yet are skipped, but for those that say that they must be understood. */
function extensionFault(extensions: readonly string[]): string | undefined {
  for (const one of extensions) {
    if (one.startsWith('m=')) return FORBIDDEN_EXTENSION
    if (!EXTENSION.test(one)) return 'an extension is malformed'
  }
  return undefined
}
