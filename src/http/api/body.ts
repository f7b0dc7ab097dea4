/**
 * Request bodies: read by us and not by the framework, because how large one may be depends on the queue that it is for. A body that says that it is too
 * large is refused before it is read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { AqueductError } from '../../core/errors.js'
import { HttpError } from '../errors.js'
import { goOn } from '../manners.js'
import { checked } from './faults.js'
import { parseJson } from './json.js'
import type { Receiving } from './receiving.js'
import type { JsonBody, MessageBody, Raw } from './route.js'

/** Where a body is kept until its answer has left. */
export interface Source {
  readonly receiving: Receiving
  readonly response: ServerResponse
}

/** A batch of messages as JSON. */
export const BATCH_TYPE = 'application/vnd.aqueduct+json'

export async function readJson<B>(request: FastifyRequest, from: Source, body: JsonBody<B>, bytes_max: number): Promise<B> {
  const type = mediaType(request)
  checkCharset(request)
  const bytes = await read(request, from, bytes_max, tooLarge(bytes_max))
  if (bytes.length === 0) {
    if (body.optional === true) return checked(body.schema, {}, 'the body')
    throw new HttpError('bad_request', 'A JSON body is needed here, and there is none.')
  }
  if (type !== 'application/json')
    throw new HttpError('unsupported_media_type', `Send JSON with "Content-Type: application/json"; this was ${said(type)}.`)
  return checked(body.schema, await parseJson(bytes), 'the body')
}

export async function readMessages<B>(
  request: FastifyRequest,
  from: Source,
  body: MessageBody<B>,
  params: { queue: string },
  bytes_max: number,
): Promise<Raw<B>> {
  if (mediaType(request) === BATCH_TYPE) {
    checkCharset(request)
    const bytes = await read(request, from, bytes_max, tooLarge(bytes_max))
    return { batch: checked(body.batch, await parseJson(bytes), 'the body') }
  }
  const most = body.rawMax(params)
  const raw = await read(
    request,
    from,
    most,
    () => new AqueductError('message_too_large', `A message of this queue has at most ${most} bytes, its topic among them.`),
  )
  return { raw }
}

/** The route takes no body: there is none, or it is the empty object that some clients cannot help sending. */
export async function readNothing(request: FastifyRequest, from: Source): Promise<undefined> {
  const bytes = await read(request, from, 64, noBody)
  if (bytes.length > 0 && bytes.toString().trim() !== '{}') throw noBody()
  return undefined
}

const noBody = (): HttpError => new HttpError('bad_request', 'No body is taken here.')

function tooLarge(bytes_max: number): () => HttpError {
  return () => new HttpError('body_too_large', `A body has at most ${bytes_max} bytes here (http.max_body_bytes).`)
}

function said(type: string): string {
  return type === '' ? 'nothing' : JSON.stringify(type.slice(0, 80))
}

/** The media type in lower case, without its parameters; empty when there is none. */
function mediaType(request: FastifyRequest): string {
  const header = request.headers['content-type'] ?? ''
  return (header.split(';', 1)[0] as string).trim().toLowerCase()
}

/** JSON is UTF-8 (RFC 8259, 8.1). */
function checkCharset(request: FastifyRequest): void {
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(request.headers['content-type'] ?? '')?.[1]?.toLowerCase()
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii')
    throw new HttpError('unsupported_media_type', `JSON is UTF-8 here; this was said to be ${said(charset)}.`)
}

/** A body that is packed in some way would be stored as it is, and whoever receives it would not know. */
function packed({ headers }: FastifyRequest): HttpError | undefined {
  const coding = (headers['content-encoding'] ?? '').trim().toLowerCase()
  const transfer = (headers['transfer-encoding'] ?? '').trim().toLowerCase()
  if (coding !== '' && coding !== 'identity')
    return new HttpError(
      'unsupported_media_type',
      `A body is taken as it is, without Content-Encoding; this was ${said(coding)}.`,
    )
  if (transfer !== '' && transfer !== 'chunked')
    return new HttpError('unsupported_media_type', `The only Transfer-Encoding here is chunked; this was ${said(transfer)}.`)
  return undefined
}

/** `refusal`: made only when it is needed, since an error costs as much as the rest of a small request. */
function read(request: FastifyRequest, from: Source, bytes_max: number, refusal: () => Error): Promise<Buffer> {
  const stream = request.raw
  const { 'content-length': length, 'transfer-encoding': coding } = stream.headers
  const announced = length === undefined ? 0 : Number(length)
  if (coding === undefined && announced === 0) return Promise.resolve(nothing)
  const refused = packed(request)
  if (refused !== undefined) return Promise.reject(refused)
  if (announced > bytes_max) return Promise.reject(refusal())
  return new Promise((resolve, reject) => {
    const body = from.receiving.body(from.response, announced, bytes_max)
    goOn(stream)
    const end = (): void => {
      stream.off('data', onData)
      stream.off('end', onEnd)
      stream.off('error', onError)
      stream.off('close', onClose)
    }
    const refuse = (error: unknown): void => {
      end()
      throwAway(stream)
      reject(error)
    }
    const onData = (part: Buffer): void => {
      try {
        if (!body.add(part)) refuse(refusal())
      } catch (error) {
        refuse(error)
      }
    }
    const onEnd = (): void => {
      end()
      resolve(body.bytes)
    }
    const onError = (): void => {
      end()
      reject(new HttpError('bad_request', 'The request ended before its body did.'))
    }
    const onClose = onError
    stream.on('data', onData)
    stream.on('end', onEnd)
    stream.on('error', onError)
    stream.on('close', onClose)
  })
}

/**
 * The rest of a body that turned out too large is read to its end, so that the client sees the answer and the connection goes on with the next request.
 * One that goes on for long ends with its connection.
 */
function throwAway(stream: IncomingMessage): void {
  let left = THROWN_AWAY_BYTES_MAX
  stream.on('error', () => {})
  stream.on('data', (part: Buffer) => {
    left -= part.length
    if (left < 0) stream.destroy()
  })
}

const THROWN_AWAY_BYTES_MAX = 16 * 1024 * 1024
const nothing = Buffer.alloc(0)
