/**
 * One socket, one serial state machine, for every MQTT version. It is also what Aedes, its hooks and plug-ins know as a *client*.
 *
 * Phases: `waiting` (for CONNECT) → `connecting` (hooks and the commit of CONNACK are under way, input waits) → `connected` → `closed`.
 * Only `finish` enters `closed`, once, from wherever; it undoes all that the connection holds.
 *
 * Always true:
 * - packets are handled one after another (`input`); while one waits for a hook, those behind it wait and the socket is not read;
 * - a client that does not take its answers is not read: what it has not taken is at most `max_output_bytes`, and what one packet leads to;
 * - acknowledgements leave in the order of what they answer: one that is ready early waits in the last open group before it (`answer`);
 * - no byte of a read buffer is referred to after `data` returns;
 * - a packet too large is refused by its declared length, before any of its body is kept.
 */
import { EventEmitter } from 'node:events'
import { hasCode } from '../core/errors.js'
import { PACKET_BYTES_BEFORE_CONNECT_MAX } from '../core/limits.js'
import { PINGRESP, PUBREL, Reason } from '../mqtt/constants.js'
import type { Frame } from '../mqtt/frame.js'
import type { MessageView } from '../store/message.js'
import type { Waiter } from '../store/waiter.js'
import { Answers, tellStalled, WAITING_BYTES } from './answers.js'
import { type Authentication, abandonAuth } from './authenticating.js'
import { type ClientPacket, clientPublish, clientSubscribe, clientUnsubscribe } from './client-api.js'
import { handlePacket } from './dispatch.js'
import { sendCopy5, sendInbound5 } from './five/copies.js'
import { farewell, shutdownReason } from './five/farewell.js'
import type { Peer } from './five/peer.js'
import { Input, RESTS, STALLED, WAITS } from './input.js'
import type { Inbound } from './message.js'
import { Output } from './output.js'
import { type Deliverer, FLAG_QOS, FLAG_RETAIN } from './ports.js'
import { type ReplayRequest, RetainedReplay } from './replay.js'
import type { Session } from './session.js'
import type { BrokerState, Stored } from './state.js'
import type { Transport, TransportHandler } from './transport.js'
import type { Will } from './wills.js'
import { firstByte, writePublish, writePublishQos0 } from './writing.js'

export type Phase = 'waiting' | 'connecting' | 'connected' | 'closed'

/** An answer that is more than a packet identifier, while it waits for its commit: run when its turn has come. */
interface Deferred {
  readonly run: () => void
  readonly bytes: number
}
/** Token of a deferred answer; other tokens are reason code · 2²⁰ + packet type · 2¹⁶ + packet identifier. */
const DEFERRED = 0x3fff0000

export class Connection extends EventEmitter implements TransportHandler, Deliverer, Waiter {
  /* what Aedes knows of a client */
  id = ''
  clean = true
  version: number | null = null
  /** A bridge before MQTT 5, whose subscriptions are as if it had asked for No Local and Retain As Published. */
  bridge = false
  connecting = false
  connected = false
  closed = false
  will: object | null = null
  /** Whom enhanced authentication proved it to be; else whatever a program keeps here, as many do. */
  user: string | undefined = undefined
  readonly conn: unknown
  readonly req: unknown
  readonly broker: unknown

  readonly state: BrokerState
  readonly transport: Transport
  readonly output: Output
  phase: Phase = 'waiting'
  session: Session | null = null
  /** What only a connection of MQTT 5 has. */
  peer: Peer | null = null
  /** Only when its CONNECT named an authentication method. */
  auth: Authentication | null = null
  /** The client sent DISCONNECT. */
  saidGoodbye = false
  /** The will as it will be published, until an orderly DISCONNECT or until it was. */
  lastWill: Will | null = null
  /** Seconds between packets that the client promised; 0: no limit [MQTT-3.1.2-24]. */
  keepalive_s = 0
  /** Uptime when the last bytes came, or when the connection was made. */
  heard_ms: number
  readonly made_ms: number
  /** Moment of the last read: when its messages were accepted. */
  readAt = 0
  window: number
  /** The last commit group that an answer of this connection waits for. */
  private lastGroup = 0
  private deferred: Deferred[] | null = null
  /** Null unless retained messages of a new subscription are still to come. */
  replay: RetainedReplay | null = null
  readonly input = new Input(this)
  private readonly answers = new Answers()
  private marked = false

  constructor(state: BrokerState, transport: Transport, broker: unknown) {
    super()
    // Node makes this table for every emitter; it makes it again when somebody listens, and on most connections nobody does.
    ;(this as unknown as { _events: unknown })._events = undefined
    this.state = state
    this.transport = transport
    this.conn = transport.stream
    this.req = transport.request
    this.broker = broker
    this.output = new Output(state.slabs, transport)
    this.window = state.settings.window
    this.heard_ms = state.uptime_ms
    this.made_ms = state.uptime_ms
    state.connections.add(this)
    state.stats.connectionsTotal++
    if (state.knocking.add(this)) return
    this.finish(new Error('too many connections without CONNECT'))
    transport.destroy()
  }

  /** Aedes clears entries of it when another broker is born; we drop nothing as a duplicate. */
  get duplicates(): Record<string, number> {
    return {}
  }

  get beforeConnect(): boolean {
    return this.phase === 'waiting'
  }

  get connackSent(): boolean {
    return this.connected
  }

  get clientId(): string {
    return this.id
  }

  /** Filters this client is subscribed to, in the shape that Aedes plug-ins read. */
  get subscriptions(): Record<string, { qos: number }> {
    return Object.fromEntries(this.session?.filters ?? [])
  }

  /* ---- input ---- */

  data(chunk: Buffer, start: number, end: number): void {
    this.heard_ms = this.state.uptime_ms
    this.readAt = this.state.clock.now()
    this.state.stats.bytesReceived += end - start
    this.input.take(chunk, start, end)
    if (this.session === null) this.state.knocking.holds(this, this.input.held)
  }

  /** CONNECT was accepted: this is the session. */
  entered(session: Session): void {
    this.state.knocking.delete(this)
    this.state.accepted++
    this.session = session
  }

  /** One whole packet; the input reads on when this returns, unless it was suspended or the connection closed. */
  packet(frame: Frame, buf: Buffer, packetStart: number): void {
    handlePacket(this, frame, buf, packetStart)
  }

  /** What arrived in one read was handled: what it led to leaves now, and a publisher that is too fast for the disk waits. */
  readDone(): void {
    this.flush()
    this.state.slabs.settle()
    const journal = this.state.stored?.store.journal
    if (journal?.congested !== true || this.phase !== 'connected' || this.input.suspended) return
    this.suspend()
    this.answerWith(() => this.resume(), journal.openGroup)
  }

  get packetBytesMax(): number {
    const { max_packet_bytes } = this.state.settings
    return this.phase === 'connected' ? max_packet_bytes : Math.min(max_packet_bytes, PACKET_BYTES_BEFORE_CONNECT_MAX)
  }

  /** Input waits from here on: a hook or a commit must answer first. */
  suspend(reason = WAITS): void {
    if (this.input.suspend(reason)) this.transport.pause()
  }

  /** Goes on with what waited for this reason. May be called at any time, also when the connection is gone. */
  resume(reason = WAITS): void {
    if (this.phase !== 'closed' && this.input.resume(reason)) this.transport.resume()
  }

  get work(): number {
    return this.state.work
  }

  get workMax(): number {
    return this.state.workMax()
  }

  rest(): void {
    this.state.stats.inputRests++
    this.suspend(RESTS)
    setImmediate(() => this.resume(RESTS))
  }

  get answersHeld(): number {
    return this.answers.held
  }

  get answersLook(): number {
    return this.state.settings.max_output_bytes / 2
  }

  lookAtAnswers(): void {
    const { max_output_bytes } = this.state.settings
    if (!this.answers.over(max_output_bytes, this.output, this.transport)) return
    // All of this may be the answers to one read.
    this.output.flush()
    if (!this.answers.over(max_output_bytes, this.output, this.transport)) return
    this.suspend(STALLED)
    // Else they wait for a commit, which is not the client's doing.
    if (this.output.stalled) tellStalled(this, this.answers)
  }

  /** Reads on when the client took its answers. Not in the middle of what writes them: what is read then leads to more. */
  private readOn(): void {
    if ((this.input.why & STALLED) === 0 || this.answers.over(this.answersLook, this.output, this.transport)) return
    this.heard_ms = this.state.uptime_ms
    setImmediate(() => this.resume(STALLED))
  }

  /* ---- answers ---- */

  /**
   * Sends the packet that `token` says (reason · 2²⁰ + type · 2¹⁶ + identifier) when `group` is committed (0: nothing to wait for), and never
   * before an earlier answer.
   */
  answer(token: number, group: number): void {
    const stored = this.state.stored
    if (stored === null) return
    const journal = stored.store.journal
    const due = group > this.lastGroup ? group : this.lastGroup
    if (due <= journal.committedGroup) {
      this.give(token)
      return
    }
    this.lastGroup = due
    this.answers.waits(WAITING_BYTES)
    journal.wait(this, token, due)
  }

  /** The same for an answer that needs more than an identifier. `bytes`: what it holds until then. */
  answerWith(run: () => void, group: number, bytes = 0): void {
    if (this.deferred === null) this.deferred = []
    this.deferred.push({ run, bytes })
    this.answers.waits(bytes)
    this.answer(DEFERRED, group)
  }

  /** The commit that an answer waited for. */
  committed(token: number): void {
    this.answers.came(WAITING_BYTES)
    this.give(token)
  }

  private give(token: number): void {
    if (this.phase === 'closed') return
    if (token >= DEFERRED) {
      const deferred = this.deferred?.shift()
      if (deferred === undefined) return
      this.answers.came(deferred.bytes)
      deferred.run()
      return
    }
    const out = this.output.reserve(5)
    let at = this.output.at()
    const type = (token >>> 16) & 0x0f
    const reason = token >>> 20
    out[at++] = type === PUBREL ? (PUBREL << 4) | 2 : type << 4
    if (type === PINGRESP) {
      out[at] = 0
      this.output.advance(2)
      this.answers.wrote(2)
    } else {
      out[at++] = reason === 0 ? 2 : 3
      out[at++] = (token >>> 8) & 0xff
      out[at++] = token & 0xff
      if (reason !== 0) out[at] = reason
      const bytes = reason === 0 ? 4 : 5
      this.output.advance(bytes)
      this.answers.wrote(bytes)
      this.peer?.answered(type, reason)
    }
    this.wrote()
  }

  commitFailed(_token: number): void {
    // What waited is not stored and will not be acknowledged; the client finds out by losing its connection.
    this.end(Reason.server_busy, new Error('the store failed'))
  }

  /** Sends a whole packet now. */
  send(packet: Buffer): void {
    if (this.peer !== null && packet.length > this.peer.packetBytesMax) {
      // Nothing can be left out of what comes here [MQTT-3.1.2-24].
      this.end(Reason.implementation_specific_error, new Error('an answer is larger than the client takes'))
      return
    }
    this.output.put(packet)
    this.answers.wrote(packet.length)
    this.wrote()
  }

  private wrote(): void {
    if (this.input.reading || this.marked) return
    this.marked = true
    this.state.markDirty(this)
  }

  /** Writes out what has collected. */
  flush(): void {
    this.marked = false
    if (this.phase === 'closed') return
    this.output.flush()
    if (this.input.why !== 0) this.readOn()
  }

  /** There is room again: retained messages that wait for it first, then the mailbox. */
  drained(): void {
    if (this.phase === 'closed') return
    this.output.drained()
    if (this.phase === 'connected') {
      if (this.replay !== null) this.state.replays.wake(this)
      this.session?.mailboxIfAny?.pump()
    }
    this.flush()
  }

  /** Subscriptions with retained messages are in force. */
  expectReplay(stored: Stored, request: ReplayRequest): void {
    this.replay ??= new RetainedReplay(stored, this)
    this.replay.expect(request)
  }

  /** Their SUBACK is out: the retained messages follow, as fast as the client takes them. */
  startReplay(request: ReplayRequest | null): void {
    if (request === null || this.replay === null) return
    this.replay.answered(request)
    this.state.replays.start(this)
  }

  /* ---- delivery ---- */

  get unsent(): boolean {
    return this.output.bytes > 0 || this.transport.pendingBytes > 0
  }

  /** Room for more? What only waits for the end of the turn is tried first: if the kernel takes it, nothing is slow. */
  get writable(): boolean {
    const { max_output_bytes } = this.state.settings
    const { output, transport } = this
    // Asked for each message: the usual answer comes without asking the socket.
    if (!output.stalled && output.bytes < max_output_bytes) return true
    if (output.bytes + transport.pendingBytes < max_output_bytes) return true
    if (output.bytes > 0 && !output.stalled) output.flush()
    return output.bytes + transport.pendingBytes < max_output_bytes
  }

  /** In order: the client said so, or the broker stops. */
  get parts(): boolean {
    return this.saidGoodbye || this.state.closing
  }

  get resendsLive(): boolean {
    return this.version !== 5
  }

  /** One copy at QoS 0; dropped and counted when the socket is too slow. */
  sendQos0(m: Inbound, retain: boolean, extra: Buffer | undefined): void {
    if (this.phase !== 'connected') return
    if (this.replay?.keepsQos0(m, retain, extra) === true) return
    if (!this.writable) {
      this.state.stats.droppedQos0++
      return
    }
    if (this.state.hooks.gatesForward) {
      const allowed = this.state.hooks.forward(this, m, 0, retain)
      if (allowed === null) return
      if (allowed !== m) {
        this.writeQos0(allowed, retain, extra)
        return
      }
    }
    if (this.peer === null) writePublishQos0(this.output, m, retain)
    else if (!sendInbound5(this, this.peer, m, retain, extra)) return
    this.state.stats.sent[0]++
    this.wrote()
  }

  /** A retained copy at QoS 0 from a view with room for an identifier. */
  sendRetainedQos0(view: MessageView, extra: Buffer | undefined): void {
    const allowed = this.state.hooks.gatesForward ? this.state.hooks.forward(this, view, 0, true) : view
    if (allowed !== null) this.writeQos0(allowed, true, extra)
  }

  /** A copy from a view with room for an identifier, which the hooks have seen. */
  writeQos0(view: MessageView, retain: boolean, extra: Buffer | undefined): void {
    if (this.peer === null) writePublish(this.output, view, retain ? FLAG_RETAIN : 0, 0, false)
    else if (!sendCopy5(this, this.peer, view, retain ? 0x31 : 0x30, 0, extra)) return
    this.state.stats.sent[0]++
    this.wrote()
  }

  sendPublish(view: MessageView, flags: number, packetId: number, dup: boolean, extra: Buffer | undefined): boolean {
    const qos = flags & FLAG_QOS
    let allowed: MessageView | null = view
    if (this.state.hooks.gatesForward) allowed = this.state.hooks.forward(this, view, qos, (flags & FLAG_RETAIN) !== 0)
    if (allowed === null) return false
    if (this.peer === null) writePublish(this.output, allowed, flags, packetId, dup)
    else if (!sendCopy5(this, this.peer, allowed, firstByte(flags, dup), packetId, extra)) return false
    this.state.stats.sent[qos]++
    this.wrote()
    return true
  }

  sendPubrel(packetId: number, reason = 0): void {
    this.give((reason << 20) | (PUBREL << 16) | packetId)
  }

  /* ---- end ---- */

  /** Closes for a packet that breaks the rules. */
  fault(reason: number, text: string, error = new Error(text)): void {
    this.state.stats.malformed++
    this.refuse(reason, text, error)
  }

  /** Closes the connection of a client whose packet is well formed and cannot be taken. */
  turnAway(reason: number, text: string, error = new Error(text)): void {
    this.state.stats.turnedAway++
    this.refuse(reason, text, error)
  }

  /** Ends the connection for what it asks; a client of MQTT 5 is told why. */
  refuse(reason: number, text: string, error = new Error(text)): void {
    this.state.log.debug({ client: this.id, remote: this.transport.remote, reason }, text)
    this.farewell(reason, text)
    this.finish(error)
    this.transport.end()
  }

  /** Ends the connection from our side. A client of MQTT 5 is told why, any other one loses it at once. */
  end(reason: number, error?: Error): void {
    if (this.phase === 'closed') return
    const told = this.farewell(reason, error?.message ?? '')
    this.finish(error)
    if (told) this.transport.end()
    else this.transport.destroy()
  }

  /** The last packet, for a client of MQTT 5; false when there is none to send. `finish` sends it off. */
  private farewell(reason: number, text: string): boolean {
    const packet = farewell(this, reason, text)
    if (packet === undefined) return false
    this.output.put(packet)
    return true
  }

  ended(error: Error | undefined): void {
    // What carries the bytes has rules, too.
    if (this.phase !== 'closed' && error !== undefined && hasCode(error, 'protocol_error')) this.state.stats.malformed++
    this.finish(error)
  }

  /** Forgets the will, in the store too: the client said goodbye. */
  dropWill(): void {
    const will = this.lastWill
    this.lastWill = null
    this.will = null
    if (will !== null) this.state.stored?.wills.drop(will)
  }

  /**
   * The logical end, once, whatever the socket does afterwards: the mailbox takes back what was in flight, the will goes out, a clean
   * session is gone.
   */
  finish(error: Error | undefined): void {
    if (this.phase === 'closed') return
    const was = this.phase
    this.output.flush(true)
    this.phase = 'closed'
    this.connected = false
    this.connecting = false
    this.closed = true
    this.state.connections.delete(this)
    if (this.session === null) this.state.knocking.delete(this)
    else this.state.accepted--
    this.output.drop()
    this.input.close()
    if (this.auth !== null) abandonAuth(this, this.auth)
    this.deferred = null
    if (this.replay !== null) this.state.replays.end(this)
    const session = this.session
    const will = this.lastWill
    this.lastWill = null
    const filters = session === null || session.outlives ? null : session.filters
    const left = filters === null || filters.size === 0 ? null : [...filters.keys()]
    this.session = null
    if (session !== null && session.connection === this) this.state.stored?.sessions.detach(session)
    if (will !== null && was === 'connected') this.state.stored?.wills.end(will, this)
    else if (will !== null) this.state.stored?.wills.drop(will)
    this.state.hooks.closed(this, was, error, left)
  }

  /** A program that emits 'error' on a client ends it, as in Aedes; it need not listen to it. */
  override emit(event: string | symbol, ...values: unknown[]): boolean {
    if (event !== 'error') return super.emit(event, ...values)
    const error = values[0]
    this.finish(error instanceof Error ? error : new Error(String(error)))
    this.transport.destroy()
    return this.listenerCount('error') === 0 || super.emit(event, ...values)
  }

  /** What Aedes calls to end a client: closes at once, tells `done` when that is through. */
  close(done?: () => void): void {
    this.end(this.state.closing ? shutdownReason(this.state) : Reason.administrative_action)
    if (done !== undefined) setImmediate(done)
  }

  /* ---- what programs call on a client ---- */

  publish(packet: ClientPacket, done?: (error?: Error) => void): void {
    clientPublish(this, packet, done)
  }

  subscribe(request: unknown, done?: (error?: Error) => void): void {
    clientSubscribe(this, request, done)
  }

  unsubscribe(request: unknown, done?: (error?: Error) => void): void {
    clientUnsubscribe(this, request, done)
  }

  emptyOutgoingQueue(done?: () => void): void {
    this.session?.mailboxIfAny?.discard()
    if (done !== undefined) setImmediate(done)
  }
}
