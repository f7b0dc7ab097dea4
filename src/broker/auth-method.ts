/**
 * Enhanced authentication of MQTT 5 as whoever brings a method sees it [MQTT 5.0 4.12]. A method knows nothing of packets: it gets what the client sent as
 * authentication data, and says what to answer or how it ends.
 */

export interface AuthMethod {
  /** As CONNECT names it: `SCRAM-SHA-256`. */
  readonly name: string
  /** Called for each CONNECT that names the method, and for each re-authentication; `client` begins one. Holds little: anybody may begin. */
  begin(client: AuthClient): AuthExchange
}

/** Who is about to authenticate. Nothing of it is proven, but for `user`. */
export interface AuthClient {
  /** As CONNECT gave it; empty when the broker is to choose one. */
  readonly id: string
  /** User name of CONNECT. */
  readonly username: string | undefined
  /** `127.0.0.1:50312` */
  readonly remote: string
  /** Whom the same connection proved to be before: this is a re-authentication then. */
  readonly user: string | undefined
}

export interface AuthExchange {
  /**
   * The next authentication data of the client, that of CONNECT or of the AUTH which began it first; undefined where there was none. Not called
   * again before the former step is answered. What it throws, or an answer that is no `AuthStep`, ends the connection with 0x80.
   */
  step(data: Buffer | undefined): AuthStep | Promise<AuthStep>
  /** Run when the connection is gone, or out of time, before the exchange was done or refused. */
  abandoned?(): void
}

export type AuthStep =
  /** `data` goes to the client, which must answer. */
  | { readonly kind: 'continue'; readonly data?: Buffer | undefined }
  /** The client is `identity`: its user name for hooks, in the log and as `client.user`. `data` goes with the answer that says so. */
  | { readonly kind: 'done'; readonly identity: string; readonly data?: Buffer | undefined }
  /** `reason` is told to a client that wants reason strings. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface AuthMethodOptions {
  /** From now on every CONNECT must authenticate by this method, or by another one that is required. Default false. */
  readonly required?: boolean
}

/** The methods of one broker. */
export class AuthMethods {
  private readonly methods = new Map<string, AuthMethod>()
  private readonly required = new Set<string>()

  /** False when there is a method of that name already. */
  add(method: AuthMethod, { required = false }: AuthMethodOptions): boolean {
    if (this.methods.has(method.name)) return false
    this.methods.set(method.name, method)
    if (required) this.required.add(method.name)
    return true
  }

  /** The method that a CONNECT may use; undefined: there is none of that name, or it is not one of those that are required. */
  of(name: string): AuthMethod | undefined {
    return this.required.size > 0 && !this.required.has(name) ? undefined : this.methods.get(name)
  }

  get size(): number {
    return this.methods.size
  }

  /** Nobody gets in without one. */
  get isRequired(): boolean {
    return this.required.size > 0
  }

  get requiredNames(): string {
    return [...this.required].join(', ')
  }
}
