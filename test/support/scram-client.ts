/**
 * The client's side of SCRAM-SHA-256, written from RFC 5802 and independent of the broker's: it hashes the password itself and checks the server's
 * signature. Where a field of `alter` is given it says that instead of the truth.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

export interface Alter {
  header?: string
  /** Instead of `n=…` with the escaped name. */
  name?: string
  /** Behind the nonce of the first message, with its comma. */
  firstExtensions?: string
  finalNonce?: string
  binding?: string
  finalExtensions?: string
  proof?: string
}

const b64 = (bytes: Buffer): string => bytes.toString('base64')
const mac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

export class ScramClient {
  readonly nonce: string
  /** What the server sent of its first message. */
  salt = ''
  iterations = 0
  private readonly user: string
  private readonly password: string
  private readonly alter: Alter
  private bare = ''
  private expected = ''

  constructor(user: string, password: string, alter: Alter = {}, nonce = b64(randomBytes(18))) {
    this.user = user
    this.password = password
    this.alter = alter
    this.nonce = nonce
  }

  private get header(): string {
    return this.alter.header ?? 'n,,'
  }

  first(): Buffer {
    const name = this.alter.name ?? `n=${this.user.replaceAll('=', '=3D').replaceAll(',', '=2C')}`
    this.bare = `${name},r=${this.nonce}${this.alter.firstExtensions ?? ''}`
    return Buffer.from(this.header + this.bare)
  }

  /** Throws when the server's message is not what the RFC allows. */
  final(serverFirst: Buffer): Buffer {
    const text = serverFirst.toString()
    const found = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+=*),i=([1-9][0-9]*)$/.exec(text)
    if (found === null) throw new Error(`no server-first message: ${text}`)
    const [, nonce, salt, iterations] = found
    if (!nonce.startsWith(this.nonce) || nonce.length < this.nonce.length + 18) throw new Error('the server added no nonce')
    this.salt = salt
    this.iterations = Number(iterations)
    const salted = pbkdf2Sync(this.password, Buffer.from(salt, 'base64'), this.iterations, 32, 'sha256')
    const clientKey = mac(salted, 'Client Key')
    const storedKey = createHash('sha256').update(clientKey).digest()
    const binding = this.alter.binding ?? b64(Buffer.from(this.header))
    const withoutProof = `c=${binding},r=${this.alter.finalNonce ?? nonce}${this.alter.finalExtensions ?? ''}`
    const message = `${this.bare},${text},${withoutProof}`
    const signature = mac(storedKey, message)
    const proof = this.alter.proof ?? b64(Buffer.from(clientKey.map((byte, i) => byte ^ signature[i])))
    this.expected = `v=${b64(mac(mac(salted, 'Server Key'), message))}`
    return Buffer.from(`${withoutProof},p=${proof}`)
  }

  /** True when the server has proven that it knows the credential. */
  verify(serverFinal: Buffer): boolean {
    return this.expected !== '' && serverFinal.toString() === this.expected
  }
}
