/** What a will of MQTT 5 says besides topic and payload, in the form in which wills are kept. */
import { type Properties, writeProperties } from '../../mqtt/properties.js'
import type { WillMessage } from '../wills.js'

export function will5(p: Properties): Pick<WillMessage, 'delay_s' | 'expiry_s' | 'properties'> {
  const { willDelayInterval, messageExpiryInterval, ...published } = p
  const block = writeProperties(published)
  return {
    delay_s: willDelayInterval ?? 0,
    expiry_s: messageExpiryInterval,
    properties: block.length === 0 ? undefined : block,
  }
}
