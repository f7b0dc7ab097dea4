/** What answers look like, where more than one route says it. */
import { PAGE_ITEMS_MAX } from '../../core/limits.js'
import { object, text, wholeText, z } from './fields.js'

export const moment = (text: string) => z.int().min(0).describe(`${text}: milliseconds since 1970, UTC.`)
export const count = (text: string) => z.int().min(0).describe(text)

export const queueParams = z.strictObject({
  queue: z.string().describe('The name of a queue, percent-encoded where it holds a slash.'),
})

export const encoding = z
  .enum(['text', 'base64'])
  .describe('How `body` carries the bytes: `text` where they are valid UTF-8, else `base64`.')

export const failure = z
  .strictObject({
    error: z.strictObject({
      code: z.string().describe('Stable; programs decide by it.'),
      message: z.string().describe('A sentence for people; it may change.'),
    }),
  })
  .describe('Every answer of 400 and above.')

export const pageQuery = object({
  prefix: text(1_024, 'Only those whose name begins like this.').exactOptional(),
  after: text(65_535, 'The `next` of the page before.').exactOptional(),
  limit: wholeText(1, PAGE_ITEMS_MAX, 'How many at most; default 100.').exactOptional(),
})
