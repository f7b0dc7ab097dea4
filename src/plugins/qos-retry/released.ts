/** A QoS 2 message whose PUBREC has come: the message itself is gone, its identifier is in use until PUBCOMP. */
export interface Released {
  readonly packetId: number
  /** Sequence of the message: key of the stored row, and the order in which PUBRELs go out. */
  readonly seq: number
}
