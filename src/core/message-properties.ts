/** The MQTT 5 properties that a message carries from its publisher to whoever gets it, as programs see them; MQTT's own names. */
export interface MessageProperties {
  /** 1: the payload is UTF-8 text. */
  readonly payload_format_indicator?: 0 | 1
  readonly content_type?: string
  readonly response_topic?: string
  readonly correlation_data?: Uint8Array
  /** Name and value, in order; a name may come more than once. */
  readonly user_properties?: readonly (readonly [name: string, value: string])[]
}
