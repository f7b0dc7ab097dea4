/**
 * One copy of a message for one connection, in the words of its version: what a hook says to it, whether there is room, and how it is counted.
 *
 * Always true: what is counted as sent was written; a copy at QoS 0 for which a slow connection has no room is dropped and counted.
 */
import type { MessageView } from '../store/message.js'
import type { Connection } from './connection.js'
import { sendCopy5, sendInbound5 } from './five/copies.js'
import type { Inbound } from './message.js'
import { FLAG_QOS, FLAG_RETAIN } from './ports.js'
import { firstByte, writePublish, writePublishQos0 } from './writing.js'

/** The message that is being admitted. */
export function sendQos0(c: Connection, m: Inbound, retain: boolean, extra: Buffer | undefined): void {
  if (c.phase !== 'connected') return
  if (c.replay?.keepsQos0(m, retain, extra) === true) return
  if (!c.writable) {
    c.state.stats.droppedQos0++
    return
  }
  if (c.state.hooks.gatesForward) {
    const allowed = c.state.hooks.forward(c, m, 0, retain)
    if (allowed === null) return
    if (allowed !== m) {
      writeQos0(c, allowed, retain, extra)
      return
    }
  }
  if (c.peer === null) writePublishQos0(c.output, m, retain)
  else if (!sendInbound5(c, c.peer, m, retain, extra)) return
  c.state.stats.sent[0]++
  c.wrote()
}

/** A retained message, from a view with room for an identifier. */
export function sendRetainedQos0(c: Connection, view: MessageView, extra: Buffer | undefined): void {
  const allowed = c.state.hooks.gatesForward ? c.state.hooks.forward(c, view, 0, true) : view
  if (allowed !== null) writeQos0(c, allowed, true, extra)
}

/** From a view with room for an identifier, which the hooks have seen. */
export function writeQos0(c: Connection, view: MessageView, retain: boolean, extra: Buffer | undefined): void {
  if (c.peer === null) writePublish(c.output, view, retain ? FLAG_RETAIN : 0, 0, false)
  else if (!sendCopy5(c, c.peer, view, retain ? 0x31 : 0x30, 0, extra)) return
  c.state.stats.sent[0]++
  c.wrote()
}

/** At any QoS; false when a hook keeps it from this client, or it is larger than the client takes. */
export function sendPublish(
  c: Connection,
  view: MessageView,
  flags: number,
  packetId: number,
  dup: boolean,
  extra: Buffer | undefined,
): boolean {
  const qos = flags & FLAG_QOS
  let allowed: MessageView | null = view
  if (c.state.hooks.gatesForward) allowed = c.state.hooks.forward(c, view, qos, (flags & FLAG_RETAIN) !== 0)
  if (allowed === null) return false
  if (c.peer === null) writePublish(c.output, allowed, flags, packetId, dup)
  else if (!sendCopy5(c, c.peer, allowed, firstByte(flags, dup), packetId, extra)) return false
  c.state.stats.sent[qos]++
  c.wrote()
  return true
}
