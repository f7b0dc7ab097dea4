/**
 * Folders to be damaged: each is built once by a broker of its own, with everything acknowledged written down, and copied for each damage.
 *
 * LevelDB turns its log into a table at each start, and four tables of level 0 into deeper ones; so the number of starts makes the shape.
 */
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { MqttClient } from '../../../support/mqtt-client.js'
import { Seeded } from '../seeded.js'
import type { Target } from '../target.js'
import { Actor, type NewItem } from './actor.js'
import { type FileKind, filesOf } from './folder.js'
import { Promised } from './promised.js'

export interface Base {
  name: string
  dir: string
  promised: Promised
}

interface Shape {
  name: string
  /** Starts; each writes a part. */
  phases: number
  /** How it ends: what was written last is in the log, or the store was closed. */
  end: 'kill' | 'stop'
  /** Published messages of a phase. */
  messages: number
  /** Usual size; default: mixed. */
  bytes?: number
}

export const SHAPES: readonly Shape[] = [
  { name: 'log', phases: 1, end: 'kill', messages: 120 },
  { name: 'tables', phases: 3, end: 'kill', messages: 60 },
  { name: 'stopped', phases: 3, end: 'stop', messages: 60 },
  { name: 'deep', phases: 9, end: 'kill', messages: 40 },
  { name: 'deep-stopped', phases: 7, end: 'stop', messages: 40 },
  { name: 'large', phases: 2, end: 'kill', messages: 60, bytes: 60_000 },
]

const QUEUES = { plain: {}, ordered: { fifo: true }, bridged: {}, keyed: { fifo: true } }

export function newPromised(): Promised {
  const promised = new Promised()
  promised.sessions.set('one', [['a/#', 1]])
  promised.sessions.set('two', [['a/#', 2]])
  promised.sessions.set('five', [
    ['b/#', 2],
    ['a/+/x', 1],
  ])
  promised.sessions.set('heir', [['will/#', 1]])
  promised.sessions.set('small', [['c/#', 1]])
  promised.rules.set('all-a', { filter: 'a/#', queue: 'bridged' })
  promised.rules.set('all-b', { filter: 'b/#', queue: 'keyed' })
  return promised
}

const TOPICS = ['a/1/x', 'a/2/x', 'a/2/y', 'b/1', 'b/2', 'b/2/z']

/** Topics of `count` messages, as the sessions want them. */
export function topicsFor(random: Seeded, count: number): string[] {
  return Array.from({ length: count }, () => (random.chance(0.06) ? 'c/1' : random.pick(TOPICS)))
}

export function itemsFor(random: Seeded, queue: string, count: number): NewItem[] {
  return Array.from({ length: count }, (_, i) => ({
    topic: `q/${queue}/${i % 3}`,
    ...(queue === 'ordered' ? { key: `k${random.below(4)}` } : { priority: random.between(1, 16) }),
    ...(random.chance(0.2) ? { delay_ms: random.between(1, 1200) } : {}),
  }))
}

export async function buildBase(target: Target, shape: Shape, dir: string, seed: number): Promise<Base> {
  const random = new Seeded(seed)
  const promised = newPromised()
  rmSync(dir, { recursive: true, force: true })
  for (let phase = 0; phase < shape.phases; phase++) {
    const broker = await target.start(dir)
    try {
      const actor = new Actor(broker, promised, random)
      if (phase === 0) {
        await actor.makeQueues(QUEUES)
        await actor.makeSessions()
      }
      const wills = await writePart(actor, random, shape, phase)
      const last = phase === shape.phases - 1
      if (last ? shape.end === 'kill' : random.chance(0.5)) await broker.kill()
      else {
        const how = await broker.stop()
        if (how !== '0') throw new Error(`the broker did not stop in order (${how}): ${broker.stderr().slice(-1000)}`)
      }
      for (const client of wills) client.destroy()
    } finally {
      await broker.kill()
    }
  }
  return { name: shape.name, dir, promised }
}

async function writePart(actor: Actor, random: Seeded, shape: Shape, phase: number): Promise<MqttClient[]> {
  const size = shape.bytes === undefined ? {} : { bytes: shape.bytes }
  const retained = Array.from({ length: phase === 0 ? 12 : 4 }, () => `r/${random.below(16)}`)
  const half = Math.ceil(shape.messages / 2)
  await must(actor.publish(topicsFor(random, half), size))
  await must(actor.publish([...new Set(retained)], { retain: true, bytes: random.between(80, 1500) }))
  await actor.send('plain', itemsFor(random, 'plain', Math.ceil(shape.messages / 6)), shape.bytes)
  await actor.send('ordered', itemsFor(random, 'ordered', Math.ceil(shape.messages / 6)), shape.bytes)
  await actor.take('one', random.between(2, 8))
  await actor.take('two', random.between(2, 8))
  await actor.receive('plain', random.between(1, 6), random.below(3))
  await actor.receive('bridged', random.between(1, 6))
  await actor.receive('ordered', random.between(1, 3))
  // Behind what was taken, so that its acknowledgements are not the last that was stored.
  await must(actor.publish(topicsFor(random, half), size))
  return [await actor.leaveWill(`heritage-${phase}`, `will/${phase}`)]
}

async function must(done: Promise<boolean>): Promise<void> {
  if (!(await done)) throw new Error('a base could not be built: the broker closed a publisher')
}

/** Whether a base has files of this kind. */
export function suits(base: Base, kind: FileKind): boolean {
  return filesOf(base.dir, kind).length > 0
}

/** Bytes and files of a base, for the reader. */
export function sizeOf(base: Base): string {
  const files = readdirSync(base.dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  const tables = filesOf(base.dir, 'table').length
  return `${Math.round(bytes / 1024)} KiB, ${tables} tables`
}
