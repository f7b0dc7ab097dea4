/**
 * A message as bytes. The body has the shape of an MQTT 3.1.1 PUBLISH of QoS 1 behind its fixed header, so that delivering
 * it is one copy and a patched packet identifier:
 *
 *   bodyStart: u16 topic length · topic · 2 bytes room for a packet identifier · payloadStart: payload · end
 *
 * A view never owns its bytes: `buffer` may be a read buffer that the next read overwrites (see `Publish`), a row of the
 * store's cache, or a copy of its own. Who keeps one beyond the current turn must know which.
 */
export interface MessageView {
  readonly buffer: Buffer
  readonly bodyStart: number
  readonly payloadStart: number
  readonly end: number
  /** MQTT 5 property block without its length, alias or subscription identifiers; undefined when there is none. */
  readonly properties: Buffer | undefined
  /** When the broker took it: milliseconds since 1970. */
  readonly acceptedAt: number
  /** When it is no longer worth delivering: milliseconds since 1970, 0 for never. */
  readonly expiresAt: number
}

/** Bytes a message counts for in limits and byte counts: body and properties, without any row's overhead. */
export function messageBytes(m: MessageView): number {
  return m.end - m.bodyStart + (m.properties === undefined ? 0 : m.properties.length)
}
