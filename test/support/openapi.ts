/** Holds real answers against the OpenAPI document that the same server gives out. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

interface Operation {
  readonly operationId: string
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { readonly schema: object }> }
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: object }> }>
}

interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, object> }
}

export interface Exchange {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly status: number
  readonly type: string
  readonly body: unknown
  /** The JSON that was sent, if any. */
  readonly sent?: unknown
  readonly sentType?: string | undefined
}

export class OpenApi {
  readonly document: Document
  private readonly ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: false, keywords: ['components'] })
  private readonly compiled = new Map<string, ValidateFunction>()

  constructor(document: Document) {
    this.document = document
    this.ajv.addSchema({ $id: 'api', components: document.components })
  }

  /** Every operation as `GET /v1/queues`. */
  get operations(): string[] {
    return Object.entries(this.document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
  }

  /** What is wrong with an exchange, or undefined. Unknown paths and methods are the server's to refuse. */
  fault(x: Exchange): string | undefined {
    const found = this.find(x.method, x.path)
    if (found === undefined) {
      const refused = x.status === 404 || x.status === 405 || x.method === 'OPTIONS' || x.method === 'HEAD'
      return refused ? undefined : `${x.method} ${x.path} is not in the document and was answered with ${x.status}`
    }
    const { operation, name } = found
    const answer = operation.responses[x.status]
    if (answer === undefined) return `${name} answered ${x.status}, which is not in the document`
    const content = answer.content?.[x.type]
    if (answer.content === undefined) return x.body === '' ? undefined : `${name} ${x.status} has a body`
    if (content === undefined) return `${name} ${x.status} is ${x.type}, which is not in the document`
    const wrong = this.check(`${name} ${x.status}`, content.schema, x.body)
    if (wrong !== undefined) return wrong
    const body = operation.requestBody?.content[x.sentType ?? '']
    if (x.status < 300 && body !== undefined && x.sent !== undefined) return this.check(`${name} body`, body.schema, x.sent)
    return undefined
  }

  private find(method: string, path: string): { operation: Operation; name: string } | undefined {
    const parts = (path.split('?', 1)[0] as string).split('/')
    for (const [pattern, methods] of Object.entries(this.document.paths)) {
      const wanted = pattern.split('/')
      if (wanted.length !== parts.length || !wanted.every((w, i) => w === parts[i] || (w.startsWith('{') && parts[i] !== '')))
        continue
      const operation = methods[method.toLowerCase()]
      return operation === undefined ? undefined : { operation, name: `${method} ${pattern}` }
    }
    return undefined
  }

  private check(name: string, schema: object, value: unknown): string | undefined {
    let validate = this.compiled.get(name)
    if (validate === undefined) {
      validate = this.ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"api#/components')))
      this.compiled.set(name, validate)
    }
    return validate(value)
      ? undefined
      : `${name}: ${this.ajv.errorsText(validate.errors)} in ${JSON.stringify(value).slice(0, 500)}`
  }
}
