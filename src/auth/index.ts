/**
 * Plugin: SCRAM-SHA-256 as an authentication method of MQTT 5. Joins the exchange (scram.ts) to the users: those of a file, or of the program that
 * uses the library.
 */
import type { AuthExchange, AuthMethod, AuthStep } from '../broker/auth-method.js'
import type { BrokerApi, Plugin } from '../broker/plugin.js'
import { hasCode } from '../core/errors.js'
import type { Random } from '../core/random.js'
import { metaKey } from '../store/keys.js'
import type { Store } from '../store/store.js'
import { type Credential, readCredential, SCRAM_SHA_256 } from './credential.js'
import { DECOY_SECRET_BYTES, decoy, defaultLooks, type Looks } from './decoys.js'
import { NOT_PROVEN, type Refusal, ScramServer } from './scram.js'
import { UsersFile } from './users-file.js'

export interface ScramOptions {
  /** A users file: `name:SCRAM-SHA-256$…` a line. It is read again whenever it has changed. */
  readonly file?: string
  /** Instead of a file: the credential of a name (`SCRAM-SHA-256$…`, as `scramCredential` makes it), undefined for a name that nobody has. */
  readonly credentialOf?: (name: string) => string | undefined | Promise<string | undefined>
  /** Nobody gets in without it, clients of MQTT 3.1.1 included. Default false. */
  readonly required?: boolean
}

/** Bytes that nobody can guess: a base64 nonce of 24 characters. */
const NONCE_BYTES = 18
const decoysKey = metaKey('scram-decoys')
const SECRET_VERSION = 1

/** Where credentials come from. */
interface Source {
  find(name: string): Promise<{ readonly found: Credential | undefined; readonly looks: Looks }>
}

export function scram(options: ScramOptions): Plugin {
  return {
    name: 'scram',
    async setup(api: BrokerApi) {
      const source = await sourceOf(options, api)
      let secret = api.random.bytes(DECOY_SECRET_BYTES)
      api.onOpen(async (store) => {
        secret = await storedSecret(store, api.random)
      })
      const method: AuthMethod = {
        name: SCRAM_SHA_256,
        begin: () => new Exchange(source, secret, api.random.bytes(NONCE_BYTES).toString('base64')),
      }
      api.authenticateWith(method, { required: options.required ?? false })
    },
  }
}

async function sourceOf({ file, credentialOf }: ScramOptions, api: BrokerApi): Promise<Source> {
  if (file !== undefined) {
    const users = await UsersFile.open(file, api.log)
    return {
      async find(name) {
        const now = await users.current()
        return { found: now.of(name), looks: now.looks }
      },
    }
  }
  return {
    async find(name) {
      const text = await credentialOf?.(name)
      const found = text === undefined ? undefined : readCredential(text)
      if (typeof found === 'string') throw new Error(`the credential of ${JSON.stringify(name)}: ${found}`)
      return { found, looks: defaultLooks }
    },
  }
}

/** The secret behind made-up salts: the same after a restart, or a name would be told to be none by its salt. */
async function storedSecret(store: Store, random: Random): Promise<Buffer> {
  // A damaged one is made anew: names that are none get other salts than before.
  const row = await store.disk.get(decoysKey).catch((error: unknown) => {
    if (hasCode(error, 'store_damaged')) return undefined
    throw error
  })
  if (row?.[0] === SECRET_VERSION && row.length === 1 + DECOY_SECRET_BYTES) return row.subarray(1)
  const secret = random.bytes(DECOY_SECRET_BYTES)
  store.journal.put(decoysKey, Buffer.concat([Buffer.of(SECRET_VERSION), secret]))
  return secret
}

class Exchange implements AuthExchange {
  private readonly source: Source
  private readonly secret: Buffer
  private readonly server: ScramServer
  private next: 'empty' | 'first' | 'final' | 'over' = 'empty'

  constructor(source: Source, secret: Buffer, nonce: string) {
    this.source = source
    this.secret = secret
    this.server = new ScramServer(nonce)
  }

  step(data: Buffer | undefined): AuthStep | Promise<AuthStep> {
    const { next } = this
    if (data === undefined) {
      // The client may wait to be asked [RFC 4422 3]; once.
      this.next = next === 'empty' ? 'first' : 'over'
      return next === 'empty' ? { kind: 'continue' } : { kind: 'refused', reason: 'authentication data is missing' }
    }
    if (next === 'final') {
      this.next = 'over'
      return this.final(data)
    }
    if (next === 'over') return { kind: 'refused', reason: NOT_PROVEN }
    this.next = 'final'
    return this.first(data)
  }

  private first(data: Buffer): AuthStep | Promise<AuthStep> {
    const name = this.server.first(data)
    return typeof name === 'string' ? this.challenge(name) : refused(name)
  }

  private async challenge(name: string): Promise<AuthStep> {
    const { found, looks } = await this.source.find(name)
    const made = decoy(this.secret, name, looks)
    return { kind: 'continue', data: this.server.challenge(found ?? made, found !== undefined) }
  }

  private final(data: Buffer): AuthStep {
    const proven = this.server.final(data)
    if ('refused' in proven) return refused(proven)
    return { kind: 'done', identity: proven.name, data: proven.data }
  }
}

function refused({ refused: reason }: Refusal): AuthStep {
  return { kind: 'refused', reason }
}
