/**
 * One SCRAM-SHA-256 exchange from the server's side [RFC 5802, RFC 7677], pure: no clock, no file, no socket. It is `first` → `challenge` → `final`,
 * each once and in this order; whoever calls knows what is next.
 *
 * Always true:
 * - the password never comes here, and nothing here is slow: five short hashes for a login;
 * - a name that nobody has goes through the same steps as one with a wrong password, and ends in the same words;
 * - keys are compared in constant time.
 */
import { timingSafeEqual } from 'node:crypto'
import { type Credential, hash, hmac } from './credential.js'
import { type ClientFirst, readClientFinal, readClientFirst } from './messages.js'
import { prepare } from './prepare.js'

/** Why an exchange ends. The text goes to the client and says nothing about names or passwords. */
export interface Refusal {
  readonly refused: string
}

/** Who it is, and what proves to the client that we are who it thinks. */
export interface Proven {
  readonly name: string
  readonly data: Buffer
}

export const NOT_PROVEN = 'name or password is wrong'

export class ScramServer {
  private readonly serverNonce: string
  private clientFirst: ClientFirst | undefined
  private name = ''
  private serverFirst = ''
  private credential: Credential | undefined
  private known = false

  /** `nonce`: unguessable, used once, printable ASCII without a comma. */
  constructor(nonce: string) {
    this.serverNonce = nonce
  }

  /** The client's first message: whose credential `challenge` needs, in the prepared form. */
  first(data: Buffer): string | Refusal {
    const message = readClientFirst(data)
    if (typeof message === 'string') return { refused: message }
    const name = prepare(message.name)
    if (name === undefined) return { refused: 'the name holds characters that no name may hold' }
    // Nobody acts for somebody else here.
    if (message.actAs !== undefined && prepare(message.actAs) !== name)
      return { refused: 'acting as somebody else is not supported' }
    this.clientFirst = message
    this.name = name
    return name
  }

  /** What to answer. `known` is false when the credential is made up: then nothing will prove it. */
  challenge(credential: Credential, known: boolean): Buffer {
    this.credential = credential
    this.known = known
    const nonce = `${this.clientFirst?.nonce ?? ''}${this.serverNonce}`
    this.serverFirst = `r=${nonce},s=${credential.salt.toString('base64')},i=${credential.iterations}`
    return Buffer.from(this.serverFirst)
  }

  /** The client's second message. */
  final(data: Buffer): Proven | Refusal {
    const { clientFirst, credential } = this
    if (clientFirst === undefined || credential === undefined) return { refused: NOT_PROVEN }
    const message = readClientFinal(data)
    if (typeof message === 'string') return { refused: message }
    if (message.nonce !== clientFirst.nonce + this.serverNonce) return { refused: 'the nonce is not that of this exchange' }
    // A client that took channel binding for granted, or somebody on the way who took it out, is found here.
    if (message.binding !== Buffer.from(clientFirst.header).toString('base64'))
      return { refused: 'the channel binding has changed' }
    const signed = `${clientFirst.bare},${this.serverFirst},${message.withoutProof}`
    const signature = hmac(credential.storedKey, signed)
    const clientKey = Buffer.allocUnsafe(signature.length)
    for (let i = 0; i < signature.length; i++) clientKey[i] = signature[i] ^ message.proof[i]
    const proves = timingSafeEqual(hash(clientKey), credential.storedKey)
    const verifier = Buffer.from(`v=${hmac(credential.serverKey, signed).toString('base64')}`)
    return proves && this.known ? { name: this.name, data: verifier } : { refused: NOT_PROVEN }
  }
}
