/** The queue room's table of attributes as schemas. */
import type { QueueAttributes } from '../../operations/queues.js'
import { flag, object, oneOf, whole, z } from './fields.js'

interface Row {
  readonly kind: 'number' | 'boolean' | 'name' | 'choice'
  readonly text: string
  readonly standard: number | boolean | string
  readonly min?: number
  readonly max?: number
  readonly of?: readonly string[]
}

/** `given`: as a request names them, any and none. `complete`: as a queue has them, all. */
export function attributeSchemas(table: Readonly<Record<keyof QueueAttributes, Row>>): {
  given: z.ZodType<Partial<QueueAttributes>>
  complete: z.ZodType<QueueAttributes>
} {
  const given: Record<string, z.ZodType> = {}
  const complete: Record<string, z.ZodType> = {}
  for (const [name, row] of Object.entries(table)) {
    const schema = schemaOf(row)
    complete[name] = schema
    given[name] = schema.meta({ default: row.standard }).exactOptional()
  }
  return {
    given: object(given) as unknown as z.ZodType<Partial<QueueAttributes>>,
    complete: z.strictObject(complete) as unknown as z.ZodType<QueueAttributes>,
  }
}

function schemaOf(row: Row): z.ZodType {
  switch (row.kind) {
    case 'number':
      return whole(row.min ?? 0, row.max ?? 0, row.text)
    case 'boolean':
      return flag(row.text)
    case 'choice':
      return oneOf(row.of as readonly [string, ...string[]], row.text)
    case 'name': {
      const error = "is a queue's name or empty"
      return z
        .string({ error })
        .regex(/^([A-Za-z0-9][A-Za-z0-9_.-]{0,255})?$/, { error })
        .describe(row.text)
    }
  }
}
