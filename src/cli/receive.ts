/** `aqueduct receive QUEUE`: prints what comes, as it comes, and acknowledges what was printed. */
import type { Command } from 'commander'
import { type Consumer, startConsumer } from '../client/consumer.js'
import { remoteSource } from '../client/remote.js'
import { type Payload, payloadOf } from '../client/shapes.js'
import type { Received } from '../client/source.js'
import { systemRandom } from '../core/random.js'
import { Context, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { payloadLine } from './payload.js'
import { OutputGone } from './terminal.js'
import { printable } from './text.js'

interface Flags extends ServerFlags {
  readonly ack: boolean
  readonly max?: number
  readonly idleMs?: number
  readonly leaseMs?: number
}

const GUIDE = `
Without --json a message is its payload and a line end. With it, it is a line of JSON with all that is known of it.

Printed is what a pipe or a file took. A reader that goes away, as head does, has not read all of it: say --max instead. To be sure that each message was worked on, use consume() of
@aqueduct-mq/aqueduct/client, or queue receive and queue ack.
`

/** Messages in hand at once, and with `--no-ack` in all. */
const TOGETHER = 64
const KEPT_MAX = 1000

export function addReceive(program: Command, world: World): void {
  serverCommand(program, 'receive', 'print the messages of a queue as they come, and acknowledge what was printed, until Ctrl-C')
    .argument('<queue>')
    .option('--max <n>', 'end after so many', whole)
    .option('--idle-ms <ms>', 'end when none came for so long; exit code 3 when there was none at all', whole)
    .option('--lease-ms <ms>', 'how long a message is ours when this program dies (default: 30000)', whole)
    .option('--no-ack', `print up to ${KEPT_MAX} messages, keep them from others meanwhile, and give all of them back at the end`)
    .addHelpText('after', GUIDE)
    .action(async (queue: string, flags: Flags) => {
      const c = new Context(world, flags)
      // A queue that is not there, or a server, is told at once; later a server may go and come again.
      await c.queues.get(queue)
      const printing = new Printing(c, queue, flags)
      await printing.ended
      if (printing.printed === 0 && flags.idleMs !== undefined) c.nothing(`No message came from ${printable(queue)}.`)
    })
}

class Printing {
  printed = 0
  readonly ended: Promise<void>
  private readonly c: Context
  private readonly flags: Flags
  private readonly consumer: Consumer
  private away = false
  private gone: OutputGone | undefined

  constructor(c: Context, queue: string, flags: Flags) {
    this.c = c
    this.flags = flags
    const { max, idleMs, leaseMs, ack } = flags
    this.consumer = startConsumer(
      remoteSource(c.queues, queue),
      (message, { signal }) => this.print(message, signal),
      {
        concurrency: ack ? TOGETHER : KEPT_MAX,
        max_batch: TOGETHER,
        retry_ms: 0,
        on_trouble: (error) => this.trouble(error),
        ...(max === undefined ? {} : { limit: max }),
        ...(idleMs === undefined ? {} : { idle_ms: idleMs }),
        ...(leaseMs === undefined ? {} : { lease_ms: leaseMs }),
      },
      { clock: c.clock, random: systemRandom },
    )
    const interrupted = c.terminal.interruption()
    const stop = (): void => void this.consumer.stop()
    interrupted.addEventListener('abort', stop)
    this.ended = this.end().finally(() => interrupted.removeEventListener('abort', stop))
  }

  private async end(): Promise<void> {
    await this.consumer.ended
    if (this.gone !== undefined) throw this.gone
  }

  /** Handlers are called in the order of the messages, and each writes before it waits: so the lines are in that order, too. */
  private async print(message: Received, signal: AbortSignal): Promise<void> {
    if (this.gone !== undefined) return untilAborted(signal)
    this.away = false
    const payload = payloadOf(message.body)
    try {
      await this.c.terminal.print(this.flags.json === true ? lineOf(message, payload) : payloadLine(payload, this.c.terminal))
    } catch (error) {
      // Not printed: given back as if it had not been received, and so is what follows.
      if (!(error instanceof OutputGone)) throw error
      this.gone = error
      void this.consumer.stop({ within_ms: 0 })
      return untilAborted(signal)
    }
    this.printed++
    if (!this.flags.ack) await this.keep(signal)
  }

  /** Until the consumer stops and gives it back. */
  private keep(signal: AbortSignal): Promise<void> {
    if (this.printed === (this.flags.max ?? KEPT_MAX)) void this.consumer.stop({ within_ms: 0 })
    return untilAborted(signal)
  }

  private trouble(error: unknown): void {
    if (error instanceof OutputGone || this.away) return
    this.away = true
    this.c.terminal.err(`aqueduct: ${error instanceof Error ? error.message : String(error)} Trying again.\n`)
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function lineOf(message: Received, payload: Payload): string {
  const { receipt: _, body: __, key, expires_at, ...rest } = message
  const line = { ...rest, ...(key === '' ? {} : { key }), ...(expires_at === null ? {} : { expires_at }), ...payload }
  return `${JSON.stringify(line)}\n`
}
