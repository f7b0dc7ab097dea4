/** The MQTT 5 properties of a message as an object, for plugins and programs: the broker itself hands them on as bytes. */
import { AqueductError, hasCode } from '../core/errors.js'
import { PUBLISH } from '../mqtt/constants.js'
import { PacketFault } from '../mqtt/faults.js'
import { type Properties, readProperties, writeProperties } from '../mqtt/properties.js'
import type { MessageView } from '../store/message.js'

export type { Properties } from '../mqtt/properties.js'

const NONE: Properties = Object.freeze({})

/** What the message carries: never its expiry, a topic alias or subscription identifiers, which belong to one hop. */
export function propertiesOf(m: MessageView): Properties {
  return m.properties === undefined ? NONE : readProperties(m.properties, 0, m.properties.length, PUBLISH)
}

/** The bytes of `properties` as a message carries them; undefined for none. Throws `attribute_invalid` for what no publisher could send. */
export function blockOf(properties: Properties): Buffer | undefined {
  try {
    const block = writeProperties(properties)
    // What the wire forbids beyond lengths (wildcards in a topic, characters in a text) is said where it is read.
    readProperties(block, 0, block.length, PUBLISH)
    return block.length === 0 ? undefined : block
  } catch (error) {
    if (error instanceof PacketFault) throw refused(error.text)
    if (hasCode(error, 'malformed_packet')) throw refused(error.message)
    throw error
  }
}

/** Under the names that programs know. */
function refused(why: string): AqueductError {
  const text = why.replace(/[a-z][A-Z]/g, (two) => `${two[0]}_${two[1].toLowerCase()}`)
  return new AqueductError('attribute_invalid', `properties: ${text}.`)
}
