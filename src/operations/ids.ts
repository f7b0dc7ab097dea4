/**
 * The public id of a message: its store sequence as 12 hexadecimal digits. Opaque to callers; two of them compare as the messages were accepted.
 */
const DIGITS = 12

/** `seq` is below 2^48, as every sequence is. */
export function messageId(seq: number): string {
  return seq.toString(16).padStart(DIGITS, '0')
}
