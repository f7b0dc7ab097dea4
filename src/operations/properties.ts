/** The MQTT 5 properties of messages, from programs and for them. */
import { isUtf8 } from 'node:buffer'
import { blockOf, type Properties, propertiesOf } from '../broker/properties.js'
import { AqueductError, hasCode } from '../core/errors.js'
import type { MessageProperties } from '../core/message-properties.js'
import { hasUtf8, NO_UTF8 } from '../core/utf8.js'
import type { MessageView } from '../store/message.js'
import { whole } from './checks.js'

export type { MessageProperties }

/** As the store keeps them; undefined for none. Throws `attribute_invalid` for what no publisher could send beside this payload. */
export function propertyBlock(given: MessageProperties | undefined, payload: Buffer): Buffer | undefined {
  if (given === undefined) return undefined
  const { payload_format_indicator: format, content_type, response_topic, correlation_data, user_properties } = given
  whole('payload_format_indicator', format, 0, 1)
  if (format === 1 && !isUtf8(payload))
    throw new AqueductError('attribute_invalid', 'payload_format_indicator is 1, but the payload is not UTF-8.')
  const texts = [content_type ?? '', response_topic ?? '', ...(user_properties ?? []).flat()]
  if (!texts.every(hasUtf8)) throw new AqueductError('attribute_invalid', `properties: a text of them ${NO_UTF8}.`)
  const properties: Properties = {}
  if (format !== undefined) properties.payloadFormatIndicator = format === 1
  if (content_type !== undefined) properties.contentType = content_type
  if (response_topic !== undefined) properties.responseTopic = response_topic
  if (correlation_data !== undefined) properties.correlationData = Buffer.from(correlation_data)
  if (user_properties !== undefined) properties.userProperties = user_properties.map(([name, value]) => [name, value])
  try {
    return blockOf(properties)
  } catch (error) {
    if (!hasCode(error, 'malformed_packet')) throw error
    // Under the names that programs know.
    const said = error.message.replace(/[a-z][A-Z]/g, (two) => `${two[0]}_${two[1].toLowerCase()}`)
    throw new AqueductError('attribute_invalid', `${said}.`)
  }
}

/** Null for none. */
export function shownProperties(m: MessageView): MessageProperties | null {
  if (m.properties === undefined) return null
  const p = propertiesOf(m)
  return {
    ...(p.payloadFormatIndicator === undefined ? {} : { payload_format_indicator: p.payloadFormatIndicator ? 1 : 0 }),
    ...(p.contentType === undefined ? {} : { content_type: p.contentType }),
    ...(p.responseTopic === undefined ? {} : { response_topic: p.responseTopic }),
    ...(p.correlationData === undefined ? {} : { correlation_data: p.correlationData }),
    ...(p.userProperties === undefined ? {} : { user_properties: p.userProperties }),
  }
}
