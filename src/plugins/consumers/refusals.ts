/** What a SUBACK says when a subscription of these spaces is refused, in the words of MQTT 5; MQTT 3.1.1 has one code for all. */

/** "Topic filter invalid" for a queue that is not there, "quota exceeded", "not authorised", "unspecified error". */
const CODES = { no_such: 0x8f, quota: 0x97, not_allowed: 0x87, failed: 0x80 } as const

export type RefusalReason = keyof typeof CODES

export function refusal(why: RefusalReason): number {
  return CODES[why]
}
