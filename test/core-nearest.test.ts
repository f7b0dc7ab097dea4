import { expect, it } from 'vitest'
import { nearest, nearestHint } from '../src/core/nearest.js'

const NAMES = ['lease_ms', 'delay_ms', 'retention_s', 'mqtt.port', 'bridge.rules', 'auth.scram_file']

it.each([
  ['lease_mss', 'lease_ms'],
  ['lease', 'lease_ms'],
  ['LEASE_MS', 'lease_ms'],
  ['retentions', 'retention_s'],
  ['prt', 'mqtt.port'],
  ['http.port', 'mqtt.port'],
])('%s was meant to be %s', (wrong, meant) => {
  expect(nearest(wrong, NAMES)).toBe(meant)
})

it.each(['auth.users', 'x', '', 'colour', 'constructor', 'x'.repeat(10_000)])('%s is near nothing', (wrong) => {
  expect(nearest(wrong, NAMES)).toBe(undefined)
  expect(nearestHint(wrong, NAMES)).toBe('')
})
