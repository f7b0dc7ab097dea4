import { expect, it } from 'vitest'
import { Reason } from '../src/mqtt/constants.js'
import { connackReason, disconnectReason } from '../src/mqtt/reasons.js'

/** From the tables of the standard, 3.2.2.2 and 3.14.2.1, those that a server may send. */
const CONNACK = '80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f'.split(' ')
const DISCONNECT = '80 81 82 83 87 89 8b 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2'.split(' ')

const refusals = Object.values(Reason).filter((code) => code >= 0x80)
const hex = (code: number): string => code.toString(16)

it('CONNACK and DISCONNECT get a code of their own tables, the same one where it is in it [MQTT-3.2.2-8] [MQTT-3.14.2-1]', () => {
  for (const code of refusals) {
    expect(CONNACK).toContain(hex(connackReason(code)))
    expect(DISCONNECT).toContain(hex(disconnectReason(code)))
  }
  for (const code of CONNACK) expect(hex(connackReason(Number.parseInt(code, 16)))).toBe(code)
  for (const code of DISCONNECT) expect(hex(disconnectReason(Number.parseInt(code, 16)))).toBe(code)
})
