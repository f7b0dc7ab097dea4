/** Whether a text has a UTF-8 form: a UTF-16 half without its partner has none [MQTT-1.5.4-1]. */
const LONE_SURROGATE = /\p{Surrogate}/u

export function hasUtf8(text: string): boolean {
  return !LONE_SURROGATE.test(text)
}
