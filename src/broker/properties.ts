/** The MQTT 5 properties of a message as an object, for plugins and programs: the broker itself hands them on as bytes. */
import { PUBLISH } from '../mqtt/constants.js'
import { type Properties, readProperties } from '../mqtt/properties.js'
import type { MessageView } from '../store/message.js'

export type { Properties } from '../mqtt/properties.js'

const NONE: Properties = Object.freeze({})

/** What the message carries: never its expiry, a topic alias or subscription identifiers, which belong to one hop. */
export function propertiesOf(m: MessageView): Properties {
  return m.properties === undefined ? NONE : readProperties(m.properties, 0, m.properties.length, PUBLISH)
}
