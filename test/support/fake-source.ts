/** A queue for consumers whose every answer a test gives, on a clock that it moves. */

import type { ConsumeOptions } from '../../src/client/consume-options.js'
import type { Consumer, Handling } from '../../src/client/consumer.js'
import { startConsumer } from '../../src/client/consumer.js'
import { RequestError } from '../../src/client/errors.js'
import type { ReceiptResult, Received, ReceiveOptions, Source } from '../../src/client/source.js'
import type { Random } from '../../src/core/random.js'
import { ManualClock } from './clock.js'

export const away = (): RequestError => new RequestError('server_away', 0, 'Nothing answers.')
export const refused = (): RequestError => new RequestError('queue_not_found', 404, 'There is no queue "q".')

type Verb = 'ack' | 'nack' | 'extend'
type Reply = readonly ReceiptResult[] | Error

interface Asked {
  readonly verb: Verb
  readonly receipts: readonly string[]
  readonly ms: number
}

/** Receives wait until `deliver` or `fail`; everything else is answered `ok` at once unless `replies` says otherwise. */
export class FakeSource implements Source {
  readonly asked: Asked[] = []
  readonly receives: ReceiveOptions[] = []
  readonly replies: Partial<Record<Verb, Reply[]>> = {}
  /** Answers of these are held back until the test calls what is in `held`. */
  readonly holds = new Set<Verb>()
  readonly held: (() => void)[] = []
  answers_within_ms = 0
  private waiting: { resolve: (m: Received[]) => void; reject: (e: unknown) => void } | undefined
  private count = 0

  receive(o: ReceiveOptions): Promise<readonly Received[]> {
    this.receives.push(o)
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject }
      // One listener for all of them: there is one receive at a time.
      if (o.signal !== undefined) o.signal.onabort = () => reject(new Error('aborted'))
    })
  }

  ack(receipts: readonly string[]): Promise<readonly ReceiptResult[]> {
    return this.answer('ack', receipts, 0)
  }

  nack(receipts: readonly string[], delay_ms: number, count: boolean): Promise<readonly ReceiptResult[]> {
    return this.answer('nack', receipts, delay_ms, count)
  }

  extend(receipts: readonly string[], lease_ms: number): Promise<readonly ReceiptResult[]> {
    return this.answer('extend', receipts, lease_ms)
  }

  passing(error: unknown): boolean {
    return error instanceof RequestError && error.passing
  }

  /** What was asked of `verb`: the receipts of each call. */
  calls(verb: Verb): string[] {
    return this.asked.filter((a) => a.verb === verb).map((a) => a.receipts.join(' '))
  }

  async deliver(count: number, attempts = 1): Promise<string[]> {
    const messages = Array.from({ length: count }, () => message(`r${++this.count}`, attempts))
    this.waiting?.resolve(messages)
    await settle()
    return messages.map(({ receipt }) => receipt)
  }

  async fail(error: Error): Promise<void> {
    this.waiting?.reject(error)
    await settle()
  }

  private async answer(verb: Verb, receipts: readonly string[], ms: number, count = true): Promise<readonly ReceiptResult[]> {
    this.asked.push({ verb, receipts, ms, ...(count ? {} : { count }) })
    const reply = this.replies[verb]?.shift()
    if (this.holds.has(verb)) await new Promise<void>((resolve) => this.held.push(resolve))
    if (reply instanceof Error) throw reply
    return reply ?? receipts.map((): ReceiptResult => 'ok')
  }
}

/** Lets everything run that waits for no clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve()
}

function message(receipt: string, attempts: number): Received {
  const at = { accepted_at: 0, first_leased_at: 0, properties: null, leased_until: 0, expires_at: null }
  return { id: receipt, receipt, topic: 't', body: Buffer.from(receipt), attempts, key: '', priority: 8, ...at }
}

/** Chance that never adds anything: a back-off is half of what it may be. */
const still: Random = { bytes: (length) => Buffer.alloc(length), below: () => 0 }

export interface Handled {
  readonly receipt: string
  readonly signal: AbortSignal
  done(): Promise<void>
  fail(): Promise<void>
}

export interface Rig {
  readonly source: FakeSource
  readonly clock: ManualClock
  readonly consumer: Consumer
  /** Handlers that were called, in order; each waits for `done` or `fail`. */
  readonly handled: Handled[]
  readonly troubles: string[]
  advance(ms: number): Promise<void>
}

export async function consumerRig(o: ConsumeOptions = {}): Promise<Rig> {
  const source = new FakeSource()
  const clock = new ManualClock()
  const handled: Handled[] = []
  const troubles: string[] = []
  const handler = ({ receipt }: Received, { signal }: Handling): Promise<void> =>
    new Promise((resolve, reject) => {
      const done = (): Promise<void> => {
        resolve()
        return settle()
      }
      const fail = (): Promise<void> => {
        reject(new Error(`${receipt} failed`))
        return settle()
      }
      handled.push({ receipt, signal, done, fail })
    })
  const on_trouble = (error: unknown): void => void troubles.push((error as Error).message)
  const consumer = startConsumer(source, handler, { on_trouble, ...o }, { clock, random: still })
  consumer.ended.catch(() => {})
  await settle()
  const advance = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await settle()
  }
  return { source, clock, consumer, handled, troubles, advance }
}
