import { describe, expect, it } from 'vitest'
import { ackReason, readAck } from '../src/mqtt/acks.js'
import { publishHeaderBytes, writeRemainingLength } from '../src/mqtt/encode.js'
import { Frame, readFrame } from '../src/mqtt/frame.js'
import { PublishFields, readPublish } from '../src/mqtt/publish.js'

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

describe('readFrame', () => {
  const read = (bytes: string, version = 4) => {
    const frame = new Frame()
    const buf = hex(bytes)
    return { result: readFrame(buf, 0, buf.length, version, frame), ...frame }
  }

  it.each([
    [0, '00', 1],
    [127, '7f', 1],
    [128, '80 01', 2],
    [16_383, 'ff 7f', 2],
    [16_384, '80 80 01', 3],
    [2_097_151, 'ff ff 7f', 3],
    [2_097_152, '80 80 80 01', 4],
    [268_435_455, 'ff ff ff 7f', 4],
  ])('length %i is %s', (length, bytes, count) => {
    expect(read(`30 ${bytes}`)).toMatchObject({ result: 1, type: 3, bodyStart: 1 + count, bodyEnd: 1 + count + length })
    expect(publishHeaderBytes(length)).toBe(1 + count)
    const out = Buffer.alloc(count)
    expect(writeRemainingLength(out, 0, length)).toBe(count)
    expect(out).toEqual(hex(bytes))
  })

  it('refuses a fifth length byte as soon as the fourth announces it [MQTT-2.2.3]', () => {
    expect(read('30 80 80 80').result).toBe(0)
    expect(read('30 80 80 80 80').result).toBe(-1)
    expect(read('30 ff ff ff ff 7f').result).toBe(-1)
  })

  it('refuses a length that is longer than needed in version 5 only [MQTT-1.5.5-1]', () => {
    expect(read('30 80 00', 4).result).toBe(1)
    expect(read('30 80 00', 5).result).toBe(-1)
    expect(read('30 81 80 00', 5).result).toBe(-1)
  })

  it('holds each type to its flags [MQTT-2.2.2-2], before the length is there', () => {
    for (let type = 1; type <= 15; type++) {
      for (let flags = 0; flags < 16; flags++) {
        const first = ((type << 4) | flags).toString(16)
        const wanted = type === 6 || type === 8 || type === 10 ? 2 : 0
        const right = type === 3 || flags === wanted
        expect([first, read(`${first} 00`, 5).result]).toEqual([first, right ? 1 : -1])
        expect([first, read(`${first} 00`, 4).result]).toEqual([first, right && type !== 15 ? 1 : -1])
        expect(read(first, 5).result).toBe(right ? 0 : -1)
        // MQTT 3.1 asks nobody to check them, but a CONNECT is judged before its version is known.
        const old = type === 1 ? flags === 0 : type !== 15
        expect([first, read(`${first} 00`, 3).result]).toEqual([first, old ? 1 : -1])
      }
    }
    expect(read('00 00').result).toBe(-1)
    expect(read('0f 00', 3).result).toBe(-1)
    expect(read('f0 00', 0).result).toBe(-1)
    expect(read('10 00', 0).result).toBe(1)
    expect(read('11 00', 0).result).toBe(-1)
  })

  it('reads at an offset and nothing at all when there is nothing', () => {
    const frame = new Frame()
    const buf = hex('ff ff 82 05 ff')
    expect(readFrame(buf, 2, 5, 4, frame)).toBe(1)
    expect({ ...frame }).toEqual({ type: 8, flags: 2, bodyStart: 4, bodyEnd: 9 })
    expect(readFrame(buf, 5, 5, 4, frame)).toBe(0)
    expect(readFrame(buf, 2, 3, 4, frame)).toBe(0)
  })
})

describe('readPublish', () => {
  const read = (bytes: string, version = 4) => {
    const frame = new Frame()
    const out = new PublishFields()
    const buf = hex(bytes)
    if (readFrame(buf, 0, buf.length, version, frame) !== 1) throw new Error('not a packet')
    return { reason: readPublish(buf, frame, version, out), ...out }
  }
  const spans = (topicEnd: number, propertiesStart: number, propertiesEnd: number, end: number) => {
    return { reason: 0, topicStart: 4, topicEnd, propertiesStart, propertiesEnd, payloadStart: propertiesEnd, end }
  }

  it('notes where everything is', () => {
    expect(read('30 07 0003 612f62 6869')).toMatchObject({ ...spans(7, 7, 7, 9), qos: 0, retain: false, dup: false, packetId: 0 })
    expect(read('3d 07 0001 61 8001 6869')).toMatchObject({
      ...spans(5, 7, 7, 9),
      qos: 2,
      retain: true,
      dup: true,
      packetId: 0x8001,
    })
    expect(read('32 05 0001 61 0001')).toMatchObject(spans(5, 7, 7, 7))
    expect(read('32 0a 0001 61 0001 02 0101 6869', 5)).toMatchObject(spans(5, 8, 10, 12))
    expect(read('30 05 0001 61 00 68', 5)).toMatchObject(spans(5, 6, 6, 7))
    // An empty topic is the caller's to judge: version 5 allows it with an alias.
    expect(read('30 02 0000')).toMatchObject(spans(4, 4, 4, 4))
  })

  it('reads a property length of several bytes', () => {
    const block = '01'.repeat(200)
    expect(read(`30 ce01 0001 61 c801 ${block} 68`, 5)).toMatchObject({
      reason: 0,
      propertiesStart: 8,
      propertiesEnd: 208,
      end: 209,
    })
  })

  it.each([
    ['QoS 3 [MQTT-3.3.1-4]', '36 05 0001 61 0001', 4, 0x81],
    ['DUP with QoS 0 [MQTT-3.3.1-2]', '38 03 0001 61', 4, 0x81],
    ['DUP with QoS 0 [MQTT-3.3.1-2]', '38 04 0001 61 00', 5, 0x81],
    ['packet identifier 0 [MQTT-2.3.1-1]', '32 05 0001 61 0000', 4, 0x82],
    ['packet identifier 0 [MQTT-2.3.1-1]', '34 05 0001 61 0000', 3, 0x82],
    ['no topic', '30 00', 4, 0x81],
    ['half a topic length', '30 01 00', 4, 0x81],
    ['a topic longer than the packet', '30 03 0002 61', 4, 0x81],
    ['no packet identifier', '32 03 0001 61', 4, 0x81],
    ['half a packet identifier', '32 04 0001 61 01', 4, 0x81],
    ['no property length', '30 03 0001 61', 5, 0x81],
    ['half a property length', '30 04 0001 61 80', 5, 0x81],
    ['a property length longer than the packet', '30 05 0001 61 02 01', 5, 0x81],
    ['a property length longer than needed', '30 05 0001 61 8000', 5, 0x81],
    ['a property length of five bytes', '30 08 0001 61 8080808001', 5, 0x81],
    ['a property length of six bytes, whose last would count as 8', '30 11 0001 61 808080808001 0000000000000000', 5, 0x81],
  ])('refuses %s: %s, version %i', (_name, bytes, version, reason) => {
    expect(read(bytes, version).reason).toBe(reason)
  })

  it('ignores DUP with QoS 0 in MQTT 3.1, which gives it no meaning', () => {
    expect(read('38 03 0001 61', 3)).toMatchObject({ reason: 0, dup: false })
  })

  it('leaves nothing of the packet before', () => {
    const frame = new Frame()
    const out = new PublishFields()
    const first = hex('3d 07 0001 61 8001 6869')
    const second = hex('30 03 0001 62')
    for (const buf of [first, second]) {
      readFrame(buf, 0, buf.length, 4, frame)
      readPublish(buf, frame, 4, out)
    }
    const fresh = new PublishFields()
    readPublish(second, frame, 4, fresh)
    expect(out).toEqual(fresh)
  })
})

describe('readAck', () => {
  const read = (bytes: string, version = 4) => {
    const frame = new Frame()
    const buf = hex(bytes)
    if (readFrame(buf, 0, buf.length, version, frame) !== 1) throw new Error('not a packet')
    const packetId = readAck(buf, frame, version)
    return packetId < 0 ? packetId : [packetId, ackReason()]
  }

  it('reads identifier and reason', () => {
    expect(read('40 02 0001')).toEqual([1, 0])
    expect(read('62 02 ffff', 3)).toEqual([65_535, 0])
    expect(read('50 03 0102 97', 5)).toEqual([0x0102, 0x97])
    expect(read('40 04 0001 10 00', 5)).toEqual([1, 0x10])
    expect(read('62 04 0001 92 00', 5)).toEqual([1, 0x92])
    expect(read('40 09 0001 00 05 1f 0002 6f6b', 5)).toEqual([1, 0])
    // The reason of the ack before does not linger.
    expect(read('40 02 0001', 5)).toEqual([1, 0])
  })

  it.each([
    ['identifier 0', '40 02 0000', 4],
    ['identifier 0', '70 03 0000 00', 5],
    ['no identifier', '40 00', 4],
    ['half an identifier', '40 01 01', 5],
    ['a third byte', '40 03 0001 00', 4],
    ['a third byte', '40 03 0001 00', 3],
    ['a reason of another type', '40 03 0001 92', 5],
    ['a reason of another type', '70 03 0001 10', 5],
    ['a reason that does not exist', '40 03 0001 01', 5],
    ['a foreign property', '40 06 0001 00 02 0101', 5],
    ['a property twice', '40 0c 0001 00 08 1f000161 1f000161', 5],
    ['bytes after the properties', '40 05 0001 00 00 00', 5],
    ['a property length beyond the packet', '40 04 0001 00 01', 5],
  ])('refuses %s: %s, version %i', (_name, bytes, version) => {
    expect(read(bytes, version)).toBe(-1)
  })
})
