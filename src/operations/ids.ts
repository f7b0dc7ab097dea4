/**
 * The public id of a message: its store sequence as 12 hexadecimal digits. Opaque to callers; two of them compare as the messages were accepted.
 */
const DIGITS = 12
const SHAPE = /^[0-9a-f]{12}$/

/** `seq` is below 2^48, as every sequence is. */
export function messageId(seq: number): string {
  return seq.toString(16).padStart(DIGITS, '0')
}

/** Undefined for a text that is no id of ours. */
export function sequenceOf(id: string): number | undefined {
  return SHAPE.test(id) ? Number.parseInt(id, 16) : undefined
}
