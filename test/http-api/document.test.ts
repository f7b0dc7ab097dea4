/** The OpenAPI document and the page made of it. (That answers are as the document says, every other test here holds: `api-client.ts`.) */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { version } from '../../src/core/version.js'
import { ApiClient } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'
import { OpenApi } from '../support/openapi.js'

let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp()
  api = new ApiClient(app.httpPort)
})
afterAll(() => app.close())

describe('/openapi.json', () => {
  it('is OpenAPI 3.1 of this version', async () => {
    const { status, body } = await api.call('GET', '/openapi.json')
    expect(status).toBe(200)
    expect(body.openapi).toBe('3.1.0')
    expect(body.info).toMatchObject({ title: 'Aqueduct', version: version() })
  })

  it('has every route of the design, and each of them is there', async () => {
    const { operations } = await api.openApi()
    expect(operations.sort()).toEqual([
      'DELETE /v1/bridges/{bridge}',
      'DELETE /v1/queues/{queue}',
      'DELETE /v1/sessions/{client}',
      'GET /',
      'GET /healthz',
      'GET /metrics',
      'GET /openapi.json',
      'GET /readyz',
      'GET /v1/bridges',
      'GET /v1/bridges/{bridge}',
      'GET /v1/messages/{id}',
      'GET /v1/queues',
      'GET /v1/queues/{queue}',
      'GET /v1/queues/{queue}/peek',
      'GET /v1/sessions',
      'GET /v1/sessions/{client}',
      'GET /v1/sessions/{client}/peek',
      'POST /v1/publish',
      'POST /v1/queues/{queue}/ack',
      'POST /v1/queues/{queue}/extend',
      'POST /v1/queues/{queue}/messages',
      'POST /v1/queues/{queue}/nack',
      'POST /v1/queues/{queue}/purge',
      'POST /v1/queues/{queue}/receive',
      'POST /v1/queues/{queue}/redrive',
      'POST /v1/queues/{queue}/seek',
      'POST /v1/sessions/{client}/purge',
      'POST /v1/sessions/{client}/redrive',
      'PUT /v1/bridges/{bridge}',
      'PUT /v1/queues/{queue}',
    ])
    // One that is not there would be 404 `not_found`, or 405; these know at least the method.
    for (const operation of operations) {
      const [method, path] = operation.split(' ') as [string, string]
      const { status, body } = await api.call(method, path.replaceAll(/\{\w+\}/g, 'none'))
      expect([status, body?.error?.code], operation).not.toEqual([404, 'not_found'])
      expect(status, operation).not.toBe(405)
    }
  })

  it("has no route beside the server's: each that the server knows is in it", async () => {
    const { document } = await api.openApi()
    for (const [path, methods] of Object.entries(document.paths)) {
      const { headers } = await api.call('PATCH', path.replaceAll(/\{\w+\}/g, 'none'))
      const allowed = (headers.get('allow') ?? '').split(', ').filter((method) => method !== 'HEAD' && method !== 'OPTIONS')
      expect(allowed.sort(), path).toEqual(
        Object.keys(methods)
          .map((m) => m.toUpperCase())
          .sort(),
      )
    }
  })

  it('has a name of its own for each operation, and refers to nothing that is not there', async () => {
    const { document } = await api.openApi()
    const names = Object.values(document.paths).flatMap((methods) => Object.values(methods).map((o) => o.operationId))
    expect(new Set(names).size).toBe(names.length)
    for (const [, ref] of JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)) {
      const [, name = ''] = /^#\/components\/schemas\/(\w+)$/.exec(ref as string) ?? []
      expect(document.components.schemas, ref).toHaveProperty(name)
    }
  })

  it('is held against answers by the tests: one that differs is found', async () => {
    const { document } = await api.openApi()
    const openApi = new OpenApi(document)
    const answer = { method: 'GET', path: '/v1/queues?limit=1', status: 200, type: 'application/json' }
    expect(openApi.fault({ ...answer, body: { queues: [], next: null } })).toBeUndefined()
    for (const wrong of [
      { ...answer, body: { queues: [] } },
      { ...answer, body: { queues: [{ name: 'q' }], next: null } },
      { ...answer, body: { queues: [], next: null, more: 1 } },
      { ...answer, status: 202, body: {} },
      { ...answer, type: 'text/plain', body: '' },
      { ...answer, path: '/v1/nothing', body: {} },
    ])
      expect(openApi.fault(wrong)).toBeDefined()
  })
})

describe('the page', () => {
  it('shows every operation and loads nothing', async () => {
    const { status, body, headers } = await api.call('GET', '/')
    expect(status).toBe(200)
    const { document } = await api.openApi()
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) expect(body).toContain(`<b>${method.toUpperCase()}</b> <code>${path}</code>`)
    }
    expect(body).not.toMatch(/<script|<img|<link|https?:/)
    const [, css = ''] = /<style>(.*)<\/style>/s.exec(body) ?? []
    const hash = createHash('sha256').update(css).digest('base64')
    expect(headers.get('content-security-policy')).toContain(`default-src 'none'; style-src 'sha256-${hash}'`)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })
})
