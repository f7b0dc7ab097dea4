/**
 * Requests to one server's HTTP API, through Node's own `fetch`.
 *
 * Always true: a call resolves with an answer that the server gave, or rejects with a `RequestError`; it ends in a bounded time.
 */
import type { Clock } from '../core/clock.js'
import { hasUtf8, NO_UTF8 } from '../core/utf8.js'
import { RequestError } from './errors.js'

export interface Call {
  /** Undefined values are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** Sent as JSON, or as it is when it is bytes. */
  readonly body?: unknown
  /** Of the body; default `application/json`, or `application/octet-stream` for bytes. */
  readonly type?: string
  readonly signal?: AbortSignal | undefined
  /** How long the answer may take; default 30 s. */
  readonly limit_ms?: number
}

export interface Answered<T> {
  readonly status: number
  readonly body: T
}

const LIMIT_MS = 30_000

export class Http {
  /** Without credentials and without a slash at its end. */
  readonly url: string
  private readonly headers: Readonly<Record<string, string>>
  private readonly clock: Clock

  /** Throws `RequestError` `url_invalid` for what is no http or https address. */
  constructor(url: string, clock: Clock) {
    const parsed = parse(url)
    const { username, password } = parsed
    this.headers = username === '' && password === '' ? {} : { authorization: basic(username, password) }
    parsed.username = ''
    parsed.password = ''
    this.url = `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`
    this.clock = clock
  }

  /** `path` begins with a slash; names in it are already encoded. */
  async call<T>(method: string, path: string, o: Call = {}): Promise<Answered<T>> {
    const limit_ms = o.limit_ms ?? LIMIT_MS
    // Not AbortSignal.any: a signal that outlives many requests would remember each of them.
    const ended = new AbortController()
    const end = (): void => ended.abort()
    const timer = this.clock.after(limit_ms, end)
    o.signal?.addEventListener('abort', end)
    if (o.signal?.aborted === true) end()
    try {
      const response = await fetch(`${this.url}${path}${queryOf(o.query)}`, {
        method,
        headers: { ...this.headers, accept: 'application/json', ...(o.body === undefined ? {} : { 'content-type': typeOf(o) }) },
        signal: ended.signal,
        redirect: 'error',
        ...(o.body === undefined ? {} : { body: bytesOf(o.body) }),
      })
      const text = await response.text()
      return this.answered<T>(response.status, text)
    } catch (error) {
      if (error instanceof RequestError) throw error
      // The caller's own abort is no fault of the server: it gets back what it aborted with.
      o.signal?.throwIfAborted()
      if (ended.signal.aborted)
        throw new RequestError('timed_out', 0, `${this.url} did not answer within ${Math.round(limit_ms / 1000)} s.`)
      throw new RequestError('server_away', 0, `Nothing answers at ${this.url}: ${reasonOf(error)}.`, { cause: error })
    } finally {
      timer.cancel()
      o.signal?.removeEventListener('abort', end)
    }
  }

  private answered<T>(status: number, text: string): Answered<T> {
    const body = text === '' ? undefined : parseJson(text)
    if (status >= 200 && status < 300 && (body !== undefined || text === '')) return { status, body: body as T }
    const failure = (body as { error?: { code?: unknown; message?: unknown } } | undefined)?.error
    if (typeof failure?.code === 'string' && typeof failure.message === 'string')
      throw new RequestError(failure.code, status, failure.message)
    // A proxy in front of a server that is down, or another program on this port.
    throw new RequestError(
      'server_away',
      0,
      `What answers at ${this.url} is no Aqueduct, or not this version of it (HTTP ${status}).`,
    )
  }
}

/** A name as one part of a path. Throws for the three that an address swallows: another thing would be meant. */
export function part(name: string): string {
  if (name === '' || name === '.' || name === '..')
    throw new RequestError('name_invalid', 400, `${JSON.stringify(name)} cannot be part of an address.`)
  if (!hasUtf8(name)) throw new RequestError('name_invalid', 400, `${JSON.stringify(name)} ${NO_UTF8}.`)
  return encodeURIComponent(name)
}

function parse(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:')
    throw new RequestError(
      'url_invalid',
      400,
      `${JSON.stringify(url)} is no address of a server. Allowed is http://HOST:PORT or https://….`,
    )
  return parsed as URL
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`
}

function queryOf(query: Call['query'] = {}): string {
  for (const [name, value] of Object.entries(query)) {
    // It would be sent as a question mark, and so would any other.
    if (typeof value === 'string' && !hasUtf8(value)) throw new RequestError('attribute_invalid', 400, `${name} ${NO_UTF8}.`)
  }
  const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  )
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`
}

const typeOf = ({ type, body }: Call): string =>
  type ?? (body instanceof Uint8Array ? 'application/octet-stream' : 'application/json')

const bytesOf = (body: unknown): Uint8Array | string => (body instanceof Uint8Array ? body : JSON.stringify(body))

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed before the answer came',
  UND_ERR_SOCKET: 'the connection was closed before the answer came',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host could not be looked up',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the host',
  ETIMEDOUT: 'the host does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'the host does not answer',
  UND_ERR_HEADERS_TIMEOUT: 'no answer came',
}

/** Why `fetch` failed. It wraps the reason, and several tried addresses wrap theirs again. */
function reasonOf(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause ?? error
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  const { code, message } = (first ?? {}) as { code?: string; message?: string }
  return (code !== undefined ? REASONS[code] : undefined) ?? message ?? 'the request failed'
}
