/** The MQTT 5 properties of a message as an object, for plugins and programs: the broker itself hands them on as bytes. */
import { AqueductError } from '../core/errors.js'
import { PUBLISH } from '../mqtt/constants.js'
import { PacketFault } from '../mqtt/faults.js'
import { type Properties, readProperties, writeProperties } from '../mqtt/properties.js'
import type { MessageView } from '../store/message.js'

export type { Properties } from '../mqtt/properties.js'

const NONE: Properties = Object.freeze({})

/** What the message carries: never its expiry, a topic alias or subscription identifiers, which belong to one hop. */
export function propertiesOf(m: MessageView): Properties {
  return m.properties === undefined ? NONE : readProperties(m.properties, 0, m.properties.length, PUBLISH, true)
}

/**
 * The bytes of `properties` as a message carries them; undefined for none. They are read again: what a subscriber would refuse is refused here,
 * too. Throws `malformed_packet`.
 */
export function blockOf(properties: Properties): Buffer | undefined {
  try {
    const block = writeProperties(properties)
    readProperties(block, 0, block.length, PUBLISH)
    return block.length === 0 ? undefined : block
  } catch (error) {
    if (error instanceof AqueductError) throw error
    const why = error instanceof PacketFault ? error.text : 'a value has the wrong type'
    throw new AqueductError('malformed_packet', `properties of a message: ${why}`)
  }
}
