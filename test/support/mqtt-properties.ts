/**
 * The properties of MQTT 5, written and read by hand and independent of the broker's own table. Nothing here refuses anything: flags are
 * bytes, so that a test can send one that is 2, and the order of the wire is that of the object.
 */

/** Absent means not sent. Names are those of the standard, intervals in seconds. */
export interface Props {
  payloadFormatIndicator?: number
  messageExpiryInterval?: number
  contentType?: string | Buffer
  responseTopic?: string | Buffer
  correlationData?: Buffer
  subscriptionIdentifiers?: number[]
  sessionExpiryInterval?: number
  assignedClientIdentifier?: string | Buffer
  serverKeepAlive?: number
  authenticationMethod?: string | Buffer
  authenticationData?: Buffer
  requestProblemInformation?: number
  willDelayInterval?: number
  requestResponseInformation?: number
  responseInformation?: string | Buffer
  serverReference?: string | Buffer
  reasonString?: string | Buffer
  receiveMaximum?: number
  topicAliasMaximum?: number
  topicAlias?: number
  maximumQoS?: number
  retainAvailable?: number
  userProperties?: [string, string][]
  maximumPacketSize?: number
  wildcardSubscriptionAvailable?: number
  subscriptionIdentifiersAvailable?: number
  sharedSubscriptionAvailable?: number
}

type Form = 'byte' | 'u16' | 'u32' | 'text' | 'bytes' | 'varints' | 'pairs'

/** Table 2-4 of the standard: name, identifier, form. */
const TABLE: readonly [keyof Props, number, Form][] = [
  ['payloadFormatIndicator', 1, 'byte'],
  ['messageExpiryInterval', 2, 'u32'],
  ['contentType', 3, 'text'],
  ['responseTopic', 8, 'text'],
  ['correlationData', 9, 'bytes'],
  ['subscriptionIdentifiers', 11, 'varints'],
  ['sessionExpiryInterval', 17, 'u32'],
  ['assignedClientIdentifier', 18, 'text'],
  ['serverKeepAlive', 19, 'u16'],
  ['authenticationMethod', 21, 'text'],
  ['authenticationData', 22, 'bytes'],
  ['requestProblemInformation', 23, 'byte'],
  ['willDelayInterval', 24, 'u32'],
  ['requestResponseInformation', 25, 'byte'],
  ['responseInformation', 26, 'text'],
  ['serverReference', 28, 'text'],
  ['reasonString', 31, 'text'],
  ['receiveMaximum', 33, 'u16'],
  ['topicAliasMaximum', 34, 'u16'],
  ['topicAlias', 35, 'u16'],
  ['maximumQoS', 36, 'byte'],
  ['retainAvailable', 37, 'byte'],
  ['userProperties', 38, 'pairs'],
  ['maximumPacketSize', 39, 'u32'],
  ['wildcardSubscriptionAvailable', 40, 'byte'],
  ['subscriptionIdentifiersAvailable', 41, 'byte'],
  ['sharedSubscriptionAvailable', 42, 'byte'],
]
const byName = new Map(TABLE.map(([name, id, form]) => [name, { id, form }]))
const byId = new Map(TABLE.map(([name, id, form]) => [id, { name, form }]))

/** A Variable Byte Integer. */
export function varint(value: number): Buffer {
  const out: number[] = []
  do {
    out.push((value & 127) | (value > 127 ? 128 : 0))
    value >>>= 7
  } while (value > 0)
  return Buffer.from(out)
}

/** Two bytes of length and the bytes. */
export function field(value: string | Buffer): Buffer {
  const body = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([Buffer.from([body.length >> 8, body.length & 255]), body])
}

function uint(value: number, bytes: number): Buffer {
  const out = Buffer.alloc(bytes)
  out.writeUIntBE(value, 0, bytes)
  return out
}

function one(id: number, form: Form, value: unknown): Buffer[] {
  const head = Buffer.from([id])
  switch (form) {
    case 'byte':
      return [head, uint(value as number, 1)]
    case 'u16':
      return [head, uint(value as number, 2)]
    case 'u32':
      return [head, uint(value as number, 4)]
    case 'text':
    case 'bytes':
      return [head, field(value as string | Buffer)]
    case 'varints':
      return (value as number[]).flatMap((n) => [head, varint(n)])
    case 'pairs':
      return (value as [string, string][]).flatMap(([key, text]) => [head, field(key), field(text)])
  }
}

/** The block of a packet, its length in front. */
export function properties(given: Props = {}): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of Object.entries(given)) {
    const known = byName.get(name as keyof Props)
    if (known === undefined) throw new Error(`no property ${name}`)
    if (value !== undefined) parts.push(...one(known.id, known.form, value))
  }
  const body = Buffer.concat(parts)
  return Buffer.concat([varint(body.length), body])
}

/** Reads the block at `at`: its properties, texts as strings, and where it ends. Throws where a broker sent what is none. */
export function readProperties(buf: Buffer, at: number): { given: Props; end: number } {
  const given: Record<string, unknown> = {}
  const number = (bytes: number): number => {
    at += bytes
    return buf.readUIntBE(at - bytes, bytes)
  }
  const bytes = (): Buffer => {
    const length = number(2)
    at += length
    return Buffer.from(buf.subarray(at - length, at))
  }
  const integer = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = buf[at++]
      value |= (byte & 127) << shift
      if (byte < 128) return value
    }
  }
  const length = integer()
  const end = at + length
  while (at < end) {
    const id = number(1)
    const known = byId.get(id)
    if (known === undefined) throw new Error(`the broker sent property ${id}`)
    const { name, form } = known
    if (form === 'varints') given[name] = [...((given[name] as number[]) ?? []), integer()]
    else if (form === 'pairs') given[name] = [...((given[name] as unknown[]) ?? []), [`${bytes()}`, `${bytes()}`]]
    else if (given[name] !== undefined) throw new Error(`the broker sent ${name} twice`)
    else if (form === 'text') given[name] = bytes().toString()
    else if (form === 'bytes') given[name] = bytes()
    else given[name] = number(form === 'byte' ? 1 : form === 'u16' ? 2 : 4)
  }
  if (at !== end) throw new Error('the broker sent a property block that does not end where it says')
  return { given: given as Props, end }
}
