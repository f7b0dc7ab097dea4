/** What the condition of a rule may ask about a message. Each fact is worked out when it is first asked for, once for all rules. */
import type { Inbound } from '../../broker/message.js'
import { type Properties, propertiesOf } from '../../broker/properties.js'
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

export class Facts {
  private readonly m: Inbound
  private readonly bytes_max: number
  private parsed: { readonly value: unknown } | undefined
  private failed = false
  private properties: Properties | undefined
  private pairs: ReadonlyMap<string, string> | undefined
  private longest = -1

  /** `m` is being admitted; payloads of more than `bytes_max` bytes are not looked into. */
  constructor(m: Inbound, bytes_max: number) {
    this.m = m
    this.bytes_max = bytes_max
  }

  get topic(): string {
    return this.m.topic.name
  }

  get levels(): string[] {
    return this.topic.split('/')
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
    if (end - payloadStart > this.bytes_max) throw new Error('the payload is too long')
    return buffer.toString('utf8', payloadStart, end)
  }

  /** Throws when it is no JSON, or too long. */
  get payload(): unknown {
    if (this.failed) throw new Error('the payload is no JSON')
    if (this.parsed === undefined) {
      this.failed = true
      this.parsed = { value: JSON.parse(this.text) }
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

  /** Elements of the longest list that an expression can come by. */
  get longestList(): number {
    if (this.longest < 0) this.longest = Math.max(this.m.topic.levels, longestIn(this.payloadIfAny))
    return this.longest
  }

  private get payloadIfAny(): unknown {
    try {
      return this.payload
    } catch {
      return undefined
    }
  }

  private get all(): Properties {
    this.properties ??= propertiesOf(this.m)
    return this.properties
  }
}

function longestIn(value: unknown): number {
  let longest = 0
  // No recursion: a payload may be nested as deep as it is long.
  const left: unknown[] = [value]
  while (left.length > 0) {
    const one = left.pop()
    if (typeof one !== 'object' || one === null) continue
    if (Array.isArray(one) && one.length > longest) longest = one.length
    for (const child of Object.values(one)) if (typeof child === 'object' && child !== null) left.push(child)
  }
  return longest
}
