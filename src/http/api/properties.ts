/** The MQTT 5 properties of a message in JSON: `correlation_data`, which is bytes, as base64. */
import type { MessageProperties } from '../../operations/properties.js'
import { object, text, whole, z } from './fields.js'
import { decode } from './payload.js'

/** What an MQTT string or binary field holds, and the base64 of that. */
const STRING_MAX = 65_535
const BASE64_MAX = 87_380
const USER_PROPERTIES_MAX = 1_000

const pair = z
  .array(z.string({ error: 'is a text' }), { error: 'is a list of a name and a value' })
  .length(2, { error: 'is a list of a name and a value' })
const pairsError = `is a list of at most ${USER_PROPERTIES_MAX} pairs [name, value]`

/** In requests and answers alike. */
export const properties = object({
  payload_format_indicator: whole(0, 1, '1: the payload is UTF-8 text.').exactOptional(),
  content_type: text(STRING_MAX, 'What the payload is, such as a media type.').exactOptional(),
  response_topic: text(STRING_MAX, 'Where an answer is awaited.').exactOptional(),
  correlation_data: text(BASE64_MAX, 'What the answer shall carry: bytes, as base64.').exactOptional(),
  user_properties: z
    .array(pair, { error: pairsError })
    .max(USER_PROPERTIES_MAX, { error: pairsError })
    .describe('Pairs of a name and a value, in order; a name may come more than once.')
    .exactOptional(),
})
  .describe('The MQTT 5 properties that the message carries, under MQTT’s names.')
  .meta({ id: 'Properties' })

/** The same in the query, as the text of its JSON. */
export const propertiesText = z
  .pipe(
    z.transform((given: unknown) => {
      try {
        return typeof given === 'string' ? JSON.parse(given) : given
      } catch {
        return given
      }
    }),
    properties,
  )
  .describe('The MQTT 5 properties that the message carries, as in a batch: JSON.')

type Shown = z.infer<typeof properties>

/** Throws `attribute_invalid`. `name` begins the sentence. */
export function readShown({ correlation_data, ...rest }: Shown, name: string): MessageProperties {
  const bytes = correlation_data === undefined ? undefined : decode(correlation_data, 'base64', `${name}.correlation_data`)
  return { ...rest, ...(bytes === undefined ? {} : { correlation_data: bytes }) } as unknown as MessageProperties
}

/** A field of its own, or none. */
export function show(given: MessageProperties | null): { properties?: object } {
  if (given === null) return {}
  const { correlation_data, ...rest } = given
  const base64 = correlation_data === undefined ? undefined : Buffer.from(correlation_data).toString('base64')
  return { properties: { ...rest, ...(base64 === undefined ? {} : { correlation_data: base64 }) } }
}
