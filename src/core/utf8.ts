/** Whether a text has a UTF-8 form: a UTF-16 half without its partner has none [MQTT-1.5.4-1]. */
const LONE_SURROGATE = /\p{Surrogate}/u

/** The end of a sentence that begins with what the text is. */
export const NO_UTF8 = 'holds half a surrogate pair, which has no UTF-8'

export function hasUtf8(text: string): boolean {
  return !LONE_SURROGATE.test(text)
}
