/**
 * The one place where errors become HTTP. Every 4xx and 5xx of the JSON doors is `{"error": {"code", "message"}}`, whoever raised it: a
 * room, a door, the framework or the HTTP parser. A door with another wire form (XML, say) sets its own handler and takes the
 * status from here.
 *
 * Always true: what is not a known refusal is `internal`, 500, and says nothing about our insides; the log has the rest.
 */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { AqueductError, type ErrorCode } from '../core/errors.js'

/** Refusals that only exist in HTTP. */
export type HttpCode =
  | 'bad_request'
  | 'not_found'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'body_too_large'
  | 'uri_too_long'
  | 'unsupported_media_type'
  | 'headers_too_large'
  | 'expectation_failed'
  | 'not_ready'

const STATUS: Record<ErrorCode | HttpCode, number> = {
  bad_setting: 500,
  port_in_use: 500,
  store_locked: 500,
  store_damaged: 500,
  store_version: 500,
  store_failed: 503,
  store_full: 507,
  queue_not_found: 404,
  queue_exists: 409,
  queue_full: 409,
  name_invalid: 400,
  attribute_invalid: 400,
  receipt_invalid: 409,
  message_not_found: 404,
  message_too_large: 413,
  session_not_found: 404,
  bridge_not_found: 404,
  read_only: 409,
  limit_reached: 409,
  busy: 503,
  topic_invalid: 400,
  filter_invalid: 400,
  malformed_packet: 400,
  protocol_error: 400,
  not_authorised: 403,
  internal: 500,
  bad_request: 400,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  body_too_large: 413,
  uri_too_long: 414,
  unsupported_media_type: 415,
  headers_too_large: 431,
  expectation_failed: 417,
  not_ready: 503,
}

/** What a door throws for a refusal that is not a room's. `message` is a sentence for the caller. */
export class HttpError extends Error {
  readonly code: HttpCode
  constructor(code: HttpCode, message: string) {
    super(message)
    this.name = 'HttpError'
    this.code = code
  }
}

/** An error as a door answers it. */
export interface Failure {
  readonly status: number
  readonly code: ErrorCode | HttpCode
  readonly message: string
}

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string }
}

/** What a client is told that may try again: seconds. */
export const RETRY_AFTER_S = 1

export function statusOf(code: ErrorCode | HttpCode): number {
  return STATUS[code]
}

/** Ours keep their code and sentence; the framework's are told by their status; anything else is `internal`. */
export function failureOf(error: unknown): Failure {
  if ((error instanceof AqueductError && error.code !== 'internal') || error instanceof HttpError) {
    return { status: STATUS[error.code], code: error.code, message: sentence(error.message) }
  }
  const { statusCode, message } = (typeof error === 'object' && error !== null ? error : {}) as Partial<
    Error & { statusCode: number }
  >
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return { status: statusCode, code: byStatus(statusCode), message: sentence(message ?? STATUS_CODES[statusCode] ?? '') }
  }
  return { status: 500, code: 'internal', message: 'Something failed inside Aqueduct; its log says what.' }
}

export function errorBody({ code, message }: Pick<Failure, 'code' | 'message'>): ErrorBody {
  return { error: { code, message } }
}

/** For what never became a request: the HTTP parser's errors, on a socket without a response object. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const code = PARSER_CODES[error.code ?? ''] ?? 'bad_request'
  writeFailure(socket, { status: STATUS[code], code, message: BROKEN[code] ?? 'The request is not well-formed HTTP/1.1.' })
}

/** Writes a whole response and closes. */
export function writeFailure(socket: Duplex, failure: Failure): void {
  const body = JSON.stringify(errorBody(failure))
  socket.on('error', ignore)
  socket.once('finish', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status] ?? ''}\r\nConnection: close\r\n` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

const PARSER_CODES: Record<string, HttpCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

const BROKEN: Partial<Record<HttpCode, string>> = {
  headers_too_large: 'The request line and headers are larger than 16 KiB.',
  request_timeout: 'The request did not arrive in time.',
}

function byStatus(status: number): HttpCode {
  switch (status) {
    case 404:
      return 'not_found'
    case 405:
      return 'method_not_allowed'
    case 408:
      return 'request_timeout'
    case 413:
      return 'body_too_large'
    case 414:
      return 'uri_too_long'
    case 415:
      return 'unsupported_media_type'
    default:
      return 'bad_request'
  }
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}

function ignore(): void {}
