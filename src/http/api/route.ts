/**
 * A route of the API as one value: what it takes, what it answers, what can go wrong. The server checks requests with it and the OpenAPI document is
 * made of it, so that neither can say what the other does not.
 */
import type { ErrorCode } from '../../core/errors.js'
import type { HttpCode } from '../errors.js'
import type { z } from './fields.js'

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE'

/** What a handler gets. */
export interface Input<P, Q, B> {
  readonly params: P
  readonly query: Q
  readonly body: B
  /** Aborted when the client has gone, and when the server closes. */
  readonly signal: AbortSignal
  /** Aborted then, and when the client has closed its side: it is not to be kept waiting. */
  readonly leave: AbortSignal
}

export interface Result {
  readonly status: number
  /** Undefined: no body (204). */
  readonly body?: unknown
  /** The client went before all of the answer was on its way. */
  undelivered?(): void
}

/** One answer that is no error. */
export interface Answer {
  readonly text: string
  /** Undefined: no body. */
  readonly schema?: z.ZodType
  /** Content type; default JSON. */
  readonly type?: string
}

/** A JSON body. `optional`: nothing at all stands for `{}`. */
export interface JsonBody<B> {
  readonly kind: 'json'
  readonly schema: z.ZodType<B>
  readonly optional?: boolean
}

/** Bytes of any content type, or a batch as JSON of its own type. */
export interface MessageBody<B> {
  readonly kind: 'messages'
  readonly batch: z.ZodType<B>
  /** The most bytes that a raw body may have; throws for a queue that is not there. */
  rawMax(params: { readonly queue: string }): number
}

/** What a handler of a `MessageBody` gets. */
export type Raw<B> = { readonly raw: Buffer } | { readonly batch: B }

interface Common {
  readonly method: Method
  /** As in OpenAPI: `/v1/queues/{queue}`. */
  readonly path: string
  /** The `operationId`. */
  readonly id: string
  readonly tag: string
  readonly summary: string
  readonly text?: string
  readonly answers: Readonly<Record<number, Answer>>
  /** Errors beside those that any request can have. */
  readonly errors: readonly (ErrorCode | HttpCode)[]
  /** The answer may wait for something: the handler is given a live signal. */
  readonly waits?: boolean
}

export interface Route extends Common {
  readonly params: z.ZodType | undefined
  readonly query: z.ZodType | undefined
  readonly body: JsonBody<unknown> | MessageBody<unknown> | undefined
  run(input: Input<never, never, never>): Result | Promise<Result>
}

/** Ties a handler's types to its schemas. */
export function route<P = undefined, Q = undefined, B = undefined>(
  r: Common & {
    readonly params?: z.ZodType<P>
    readonly query?: z.ZodType<Q>
    readonly body?: JsonBody<B>
    run(input: Input<P, Q, B>): Result | Promise<Result>
  },
): Route {
  return { params: undefined, query: undefined, body: undefined, ...r } as unknown as Route
}

/** The same for a route that takes messages. */
export function messageRoute<P, Q, B>(
  r: Common & {
    readonly params: z.ZodType<P>
    readonly query: z.ZodType<Q>
    readonly body: MessageBody<B>
    run(input: Input<P, Q, Raw<B>>): Result | Promise<Result>
  },
): Route {
  return r as unknown as Route
}
