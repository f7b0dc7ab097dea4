/** One power cut: everybody as they were at that moment, the broker on what was safe, and then the rest of the story. */
import { Source, type StepRecord } from './load.js'
import { partsOf } from './message.js'
import { type InFlight, Publisher } from './publisher.js'
import type { Heard } from './subscriber.js'
import type { Target } from './target.js'
import { type Verdict, World } from './world.js'

/** What the rig saw, all stamped on the clock of the file operations. */
export interface Story {
  publishers: readonly string[]
  bytes: number
  steps: readonly StepRecord[]
  heard: readonly { name: string; heard: Heard }[]
  /** When a client first knew that its session exists: after its SUBACK, or a publisher's CONNACK. */
  joined: ReadonlyMap<string, number>
}

export interface Outcome {
  verdict: Verdict | undefined
  /** Why there is no verdict. */
  failure: string
  start_ms: number
  examples: string[]
}

/** Plays on after a cut at `at_ns`, with the broker on `dir`. `env`: of the machine that came up again. */
export async function playOn(
  target: Target,
  dir: string,
  story: Story,
  at_ns: number,
  env: Record<string, string>,
): Promise<Outcome> {
  const world = new World()
  const flights = new Map<string, Map<number, InFlight>>(story.publishers.map((name) => [name, new Map()]))
  const sources = new Map(story.publishers.map((name) => [name, new Source(name, [0, 1, 1], 0)]))
  for (const record of story.steps) {
    if (record.at_ns > at_ns) continue
    world.note(record)
    const { message, step, id } = record
    const name = message.key.slice(0, message.key.indexOf('|'))
    const flying = flights.get(name)
    if (step === 'sent') {
      if (message.qos > 0) flying?.set(id, { id, message, released: false })
      sources.get(name)?.skip(message.topic, message.qos, partsOf(message.key).number)
    } else if (step === 'done') flying?.delete(id)
    else {
      const flight = flying?.get(id)
      if (flight !== undefined && message.qos === 2) flight.released = true
    }
  }
  for (const { subscriber, ledger } of world.seats) {
    const open = new Set<number>()
    for (const { name, heard } of story.heard) {
      if (name !== subscriber.name || heard.at_ns > at_ns) continue
      if (heard.key === '') open.delete(heard.id)
      else {
        ledger.deliver(heard.key)
        if (heard.qos === 2) open.add(heard.id)
      }
    }
    if ((story.joined.get(subscriber.name) ?? Number.POSITIVE_INFINITY) <= at_ns) subscriber.restore(open)
  }
  world.crash()
  const publishers = story.publishers.map((name) => {
    const publisher = new Publisher(name, story.bytes, (step, t, id, message) => world.note({ step, at_ns: t, id, message }))
    publisher.restore([...(flights.get(name)?.values() ?? [])], (story.joined.get(name) ?? Number.POSITIVE_INFINITY) <= at_ns)
    return publisher
  })
  let start_ms = 0
  let stderr = (): string => ''
  let kill = (): Promise<void> => Promise.resolve()
  try {
    const broker = await target.start(dir, { env })
    start_ms = broker.start_ms
    stderr = broker.stderr
    kill = broker.kill
    for (const { subscriber } of world.seats) await subscriber.connect(broker.port)
    for (const publisher of publishers) await publisher.connect(broker.port)
    for (const publisher of publishers) await publisher.settle(10_000)
    for (const publisher of publishers) publisher.publish(sources.get(publisher.name)?.last(0) ?? [])
    for (const publisher of publishers) await publisher.settle(10_000)
    const stuck = publishers.filter((p) => p.in_flight.size > 0).map((p) => `${p.name} ${p.in_flight.size}`)
    if (stuck.length > 0) throw new Error(`not acknowledged after the restart: ${stuck.join(', ')}`)
    await world.drain(1000, 30_000)
    const retained_wrong = await world.wrongRetained(broker.port)
    const lost = publishers.reduce((n, p) => n + p.sessions_lost, 0)
    return { verdict: world.close(0, retained_wrong, lost), failure: '', start_ms, examples: world.examples }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { verdict: undefined, failure: `${text} ${stderr().slice(-500)}`, start_ms, examples: [] }
  } finally {
    for (const { subscriber } of world.seats) subscriber.drop()
    for (const publisher of publishers) publisher.drop()
    await kill()
  }
}
