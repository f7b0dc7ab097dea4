/** The document as a page for people: one file, no script, nothing from elsewhere. Made once. */
import { createHash } from 'node:crypto'
import type { Document } from './openapi.js'

type Json = Record<string, unknown>

interface Operation {
  readonly summary: string
  readonly description?: string
  readonly tags: readonly string[]
  readonly operationId: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> }
  readonly responses: Record<string, { readonly description: string; readonly content?: Record<string, { schema: Schema }> }>
}

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required: boolean
  readonly description?: string
  readonly schema: Schema
}

interface Schema extends Json {
  readonly $ref?: string
  readonly description?: string
  readonly properties?: Record<string, Schema>
  readonly required?: readonly string[]
  readonly items?: Schema
}

const CSS =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}' +
  'h1,h2{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}code,pre{font:14px/1.4 ui-monospace,monospace}' +
  'details{border:1px solid #ddd;border-radius:.4rem;margin:.5rem 0;padding:.5rem .8rem}summary{cursor:pointer}' +
  'summary b{display:inline-block;min-width:4.5rem;color:#0550ae}table{border-collapse:collapse;width:100%}' +
  'td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #eee}h4{margin:.8rem 0 .2rem}' +
  '@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}summary b{color:#79b8ff}' +
  'details,h2,td,th{border-color:#444}a{color:#79b8ff}}'

/** What a browser may do with the page: show it. */
export const PAGE_POLICY =
  `default-src 'none'; style-src 'sha256-${createHash('sha256').update(CSS).digest('base64')}'; base-uri 'none'; ` +
  "form-action 'none'; frame-ancestors 'none'"

export function pageOfApi(document: Document): string {
  const info = document.info as { title: string; version: string; description: string }
  const byTag = new Map<string, string[]>()
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods) as [string, Operation][]) {
      const [tag = ''] = operation.tags
      byTag.set(tag, [...(byTag.get(tag) ?? []), operationOf(method, path, operation)])
    }
  }
  const schemas = (document.components as { schemas: Record<string, Schema> }).schemas
  const named = Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${html(info.title)} API</title>` +
    `<meta name="viewport" content="width=device-width, initial-scale=1"><style>${CSS}</style></head><body>` +
    `<h1>${html(info.title)} ${html(info.version)}</h1><p>${prose(info.description)}</p>` +
    '<p>For programs: <a href="/openapi.json"><code>/openapi.json</code></a> (OpenAPI 3.1).</p>' +
    [...byTag].map(([tag, operations]) => `<h2>${html(tag)}</h2>${operations.join('')}`).join('') +
    `<h2>Shapes</h2>${named.map(([name, schema]) => `<details id="${html(name)}"><summary><code>${html(name)}</code></summary>${fieldsOf(schema)}</details>`).join('')}` +
    '</body></html>\n'
  )
}

function operationOf(method: string, path: string, o: Operation): string {
  const bodies = Object.entries(o.requestBody?.content ?? {})
  return (
    `<details id="${html(o.operationId)}"><summary><b>${method.toUpperCase()}</b> <code>${html(path)}</code> ${html(o.summary)}</summary>` +
    (o.description === undefined ? '' : `<p>${prose(o.description)}</p>`) +
    (o.parameters === undefined ? '' : `<h4>Path and query</h4>${table(o.parameters.map(parameterRow))}`) +
    bodies.map(([type, { schema }]) => `<h4>Body: <code>${html(type)}</code></h4>${fieldsOf(schema)}`).join('') +
    '<h4>Answers</h4>' +
    table(
      Object.entries(o.responses).map(([status, { description, content = {} }]) => {
        const [schema] = Object.values(content)
        return [`<code>${html(status)}</code>`, `${prose(description)} ${schema === undefined ? '' : kindOf(schema.schema)}`]
      }),
    ) +
    '</details>'
  )
}

function parameterRow({ name, required, description = '', schema }: Parameter): string[] {
  return [`<code>${html(name)}</code>${required ? '' : '?'}`, kindOf(schema), prose(description)]
}

function fieldsOf(schema: Schema): string {
  if (schema.properties === undefined) return `<p>${kindOf(schema)} ${prose(schema.description ?? '')}</p>`
  const needed = new Set(schema.required)
  return table(
    Object.entries(schema.properties).map(([name, field]) => [
      `<code>${html(name)}</code>${needed.has(name) ? '' : '?'}`,
      kindOf(field),
      prose(field.description ?? '') + (field.properties === undefined ? '' : fieldsOf(field)),
    ]),
  )
}

function kindOf(schema: Schema): string {
  const { $ref, type, enum: values, const: only, minimum, maximum, maxLength, default: standard, items, anyOf } = schema
  if ($ref !== undefined) {
    const name = $ref.slice($ref.lastIndexOf('/') + 1)
    return `<a href="#${html(name)}">${html(name)}</a>`
  }
  if (Array.isArray(anyOf)) return (anyOf as Schema[]).map(kindOf).join(' or ')
  if (items !== undefined) return `list of ${items.properties === undefined ? kindOf(items) : fieldsOf(items)}`
  const said = Array.isArray(values)
    ? values.map((v) => `<code>${html(String(v))}</code>`).join(', ')
    : html(String(only ?? type ?? ''))
  const range = minimum !== undefined && maximum !== undefined ? ` ${minimum}–${maximum}` : ''
  const length = maxLength === undefined ? '' : `, at most ${maxLength} characters`
  return said + range + length + (standard === undefined ? '' : `, default <code>${html(JSON.stringify(standard))}</code>`)
}

function table(rows: readonly (readonly string[])[]): string {
  return `<table>${rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('')}</table>`
}

/** Text with `code` in it. */
function prose(text: string): string {
  return html(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

function html(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
