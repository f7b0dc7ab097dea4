/** What the condition of a rule may ask about a message. Each fact is worked out when it is first asked for, once for all rules. */
import type { Inbound } from '../../broker/message.js'
import { type Properties, propertiesOf } from '../../broker/properties.js'
import { MESSAGE_STEPS_MAX, none } from './cel/work.js'
import { clientOf } from './template.js'

/** Name and CEL type of every variable; each is a member of `Facts`. */
export const VARIABLES = {
  /** Whole, and its levels. */
  topic: 'string',
  levels: 'list<string>',
  /** Client id of the publisher, empty for a program or the broker. */
  client: 'string',
  qos: 'int',
  retain: 'bool',
  /** Of the payload, in bytes. */
  length: 'int',
  /** The payload as text, and as JSON. */
  text: 'string',
  payload: 'dyn',
  /** MQTT 5: user properties (of two with one name the last), content type and response topic, empty when not given. */
  user: 'map<string, string>',
  content_type: 'string',
  response_topic: 'string',
} as const satisfies { readonly [K in keyof Facts]?: string }

/** Bytes of a payload that are made text, and then JSON, in the time of a step. */
const BYTES_PER_STEP = 8

export class Facts {
  /** What conditions may still do about this message. */
  steps = MESSAGE_STEPS_MAX
  /** Steps that were done about it, reading it included. */
  spent = 0
  private readonly m: Inbound
  private readonly bytes_max: number
  private parsed: { readonly value: unknown } | undefined
  private failed = false
  private properties: Properties | undefined
  private pairs: ReadonlyMap<string, string> | undefined
  private decoded: string | undefined
  private split: string[] | undefined

  /** `m` is being admitted; payloads of more than `bytes_max` bytes are not looked into. */
  constructor(m: Inbound, bytes_max: number) {
    this.m = m
    this.bytes_max = bytes_max
  }

  get topic(): string {
    return this.m.topic.name
  }

  get levels(): string[] {
    this.split ??= this.topic.split('/')
    return this.split
  }

  get client(): string {
    return clientOf(this.m)
  }

  get qos(): bigint {
    return BigInt(this.m.qos)
  }

  get retain(): boolean {
    return this.m.retain
  }

  get length(): bigint {
    return BigInt(this.m.end - this.m.payloadStart)
  }

  get text(): string {
    const { buffer, payloadStart, end } = this.m
    if (end - payloadStart > this.bytes_max) return none()
    if (this.decoded === undefined) {
      this.spent += Math.ceil((end - payloadStart) / BYTES_PER_STEP)
      this.decoded = buffer.toString('utf8', payloadStart, end)
    }
    return this.decoded
  }

  /** No answer when it is no JSON, or too long. */
  get payload(): unknown {
    if (this.failed) return none()
    if (this.parsed === undefined) {
      this.failed = true
      this.parsed = { value: jsonIn(this.text) }
      this.failed = false
    }
    return this.parsed.value
  }

  get user(): ReadonlyMap<string, string> {
    this.pairs ??= new Map(this.all.userProperties)
    return this.pairs
  }

  get content_type(): string {
    return this.all.contentType ?? ''
  }

  get response_topic(): string {
    return this.all.responseTopic ?? ''
  }

  private get all(): Properties {
    this.properties ??= propertiesOf(this.m)
    return this.properties
  }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return none()
  }
}
