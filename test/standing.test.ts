import { describe, expect, it } from 'vitest'
import { AqueductError } from '../src/core/errors.js'
import { advised } from '../src/standing.js'

describe('a start that the disk has failed', () => {
  const messageOf = (error: unknown): string => (advised(error) as Error).message

  it('ends with a sentence that says what to do, whatever failed', () => {
    expect(messageOf(new AqueductError('store_failed', 'The mark cannot be made: EMFILE'))).toBe(
      'The mark cannot be made: EMFILE. Try again when the disk can be read and written.',
    )
    expect(messageOf(new AqueductError('store_failed', 'IO error: CURRENT: Permission denied.\n'))).toBe(
      'IO error: CURRENT: Permission denied. Try again when the disk can be read and written.',
    )
  })

  it('says it once, and nothing about what another try does not mend', () => {
    for (const error of [
      new AqueductError(
        'store_failed',
        'CURRENT could not be read now. Nothing was changed. Try again when the disk can be read.',
      ),
      new AqueductError('store_damaged', 'It has changed. Restore it from a copy.'),
      new Error('something else'),
    ])
      expect(advised(error)).toBe(error)
  })
})
