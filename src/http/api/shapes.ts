/** What answers look like, where more than one route says it. */
import { z } from './fields.js'

export const moment = (text: string) => z.int().min(0).describe(`${text}: milliseconds since 1970, UTC.`)
export const count = (text: string) => z.int().min(0).describe(text)

export const queueParams = z.strictObject({
  queue: z.string().describe('The name of a queue, percent-encoded where it holds a slash.'),
})

export const encoding = z
  .enum(['text', 'base64'])
  .describe('How `body` carries the bytes: `text` where they are valid UTF-8, else `base64`.')
