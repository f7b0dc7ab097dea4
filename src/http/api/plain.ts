/** Paths of the server that are no routes of the API, as the document has them. */

type Json = Record<string, unknown>

const answer = (id: string, summary: string, type: string, more: Json = {}): Json => ({
  get: {
    operationId: id,
    tags: ['Server'],
    summary,
    responses: { 200: { description: 'It is.', content: { [type]: { schema: {} } } }, ...more },
  },
})

const notReady = {
  503: {
    description: '`not_ready`, with the reason.',
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } },
  },
}

export const plainPaths: Record<string, Json> = {
  '/healthz': answer('health', 'Does the process live?', 'application/json'),
  '/readyz': answer('ready', 'Are messages taken and acknowledged?', 'application/json', notReady),
  '/metrics': answer('metrics', 'Numbers, as Prometheus reads them', 'text/plain'),
  '/openapi.json': answer('openapi', 'This document', 'application/json'),
  '/': answer('page', 'This document, for people', 'text/html'),
}
