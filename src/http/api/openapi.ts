/**
 * The OpenAPI 3.1 document, made of the same routes and schemas that check requests. A test holds every answer of the other tests against it.
 */
import type { ErrorCode } from '../../core/errors.js'
import { type HttpCode, statusOf } from '../errors.js'
import { BATCH_TYPE } from './body.js'
import { z } from './fields.js'
import type { Answer, Route } from './route.js'
import { failure } from './shapes.js'

type Json = Record<string, unknown>
type Code = ErrorCode | HttpCode

export interface Document extends Json {
  readonly openapi: string
  readonly paths: Record<string, Json>
}

const ABOUT =
  'Queues on one data folder, over plain HTTP. An answer of 2xx to a request that changes something leaves when the change is on the disk. ' +
  'Moments are milliseconds since 1970, durations say their unit in their name. Fields that are not in this document are refused.'

/** `more`: paths of other doors, as they stand in the document. */
export function openApiOf(routes: readonly Route[], version: string, more: Record<string, Json>): Document {
  const schemas: Json = {}
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = (paths[route.path] ??= {})
    path[route.method.toLowerCase()] = operationOf(route, schemas)
  }
  Object.assign(paths, more)
  schemas.Failure = schemaOf(failure, 'output', schemas)
  return {
    openapi: '3.1.0',
    info: { title: 'Aqueduct', version, description: ABOUT, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: { schemas },
  }
}

function operationOf(route: Route, schemas: Json): Json {
  const parameters = [...parametersOf(route.params, 'path', schemas), ...parametersOf(route.query, 'query', schemas)]
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    ...(route.text === undefined ? {} : { description: route.text }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body, schemas) }),
    responses: { ...answersOf(route.answers, schemas), ...failuresOf(codesOf(route)) },
  }
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query', schemas: Json): Json[] {
  if (schema === undefined) return []
  // What the text of a query is turned into is what its values are.
  const { properties = {}, required = [] } = schemaOf(schema, 'output', schemas) as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: where,
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }))
}

function bodyOf(body: NonNullable<Route['body']>, schemas: Json): Json {
  if (body.kind === 'json') {
    const content = { 'application/json': { schema: schemaOf(body.schema, 'input', schemas) } }
    return { required: body.optional !== true, content }
  }
  return {
    required: false,
    content: {
      [BATCH_TYPE]: { schema: schemaOf(body.batch, 'input', schemas) },
      '*/*': { schema: { description: 'The payload, as it is.' } },
    },
  }
}

function answersOf(answers: Readonly<Record<number, Answer>>, schemas: Json): Json {
  const out: Json = {}
  for (const [status, { text, schema, type = 'application/json' }] of Object.entries(answers)) {
    const content = schema === undefined ? {} : { content: { [type]: { schema: schemaOf(schema, 'output', schemas) } } }
    out[status] = { description: text, ...content }
  }
  return out
}

/** What any request can meet, beside what the route names. */
function codesOf(route: Route): Code[] {
  const codes: Code[] = [
    'bad_request',
    'attribute_invalid',
    'not_authorised',
    'store_failed',
    'busy',
    'internal',
    ...route.errors,
  ]
  if (route.body !== undefined) codes.push('body_too_large', 'request_timeout')
  if (route.body?.kind === 'json') codes.push('unsupported_media_type')
  return [...new Set(codes)]
}

function failuresOf(codes: readonly Code[]): Json {
  const byStatus = new Map<number, Code[]>()
  for (const code of codes) byStatus.set(statusOf(code), [...(byStatus.get(statusOf(code)) ?? []), code])
  const out: Json = {}
  for (const [status, list] of [...byStatus].sort(([a], [b]) => a - b)) {
    out[status] = {
      description: list.map((code) => `\`${code}\``).join(', '),
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } },
    }
  }
  return out
}

/** A schema as the document has it; those with a name of their own go into `schemas`. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', schemas: Json): Json {
  const { $schema: _, $defs = {}, ...rest } = z.toJSONSchema(schema, { io }) as Json & { $defs?: Record<string, Json> }
  for (const [name, definition] of Object.entries($defs)) {
    const { id: _id, ...own } = definition
    schemas[name] = withRefs(own)
  }
  const { id, ...own } = rest as Json & { id?: string }
  if (id === undefined) return withRefs(own) as Json
  schemas[id] = withRefs(own)
  return { $ref: `#/components/schemas/${id}` }
}

function withRefs(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withRefs)
  if (typeof value !== 'object' || value === null) return value
  const out: Json = {}
  for (const [key, inner] of Object.entries(value)) {
    out[key] = key === '$ref' && typeof inner === 'string' ? inner.replace('#/$defs/', '#/components/schemas/') : withRefs(inner)
  }
  return out
}
