/** `aqueduct import QUEUE [FILE]`: takes what `export` wrote back into a queue, in batches that are stored whole or not at all. */
import { createReadStream } from 'node:fs'
import type { Command } from 'commander'
import { BackOff } from '../client/back-off.js'
import { RequestError } from '../client/errors.js'
import type { NewMessage } from '../client/shapes.js'
import { systemRandom } from '../core/random.js'
import { type Header, type Line, parseHeader, parseLine } from './archive.js'
import { Context, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { Ending, FAILED, UsageError } from './exit.js'
import { batchesOf, linesOf } from './lines.js'
import { type BatchSent, sendBatch } from './send-batch.js'
import { counted } from './text.js'

interface Flags extends ServerFlags {
  readonly dedup?: true
  readonly fromLine?: number
}

/** With `--dedup` a batch that got no answer is sent again so often: for about a minute. */
const TRIES = 10

const GUIDE = `
The queue is made with the attributes of the export if it is not there; one that is there keeps its own. Messages come in the order of the file, are accepted anew, and keep topic,
payload, key, tag, priority, MQTT properties, and what is left of their delay and of their time to live; those whose time is over are left out.

When it stops half-way it says how far it got and how to go on. --dedup gives each message its old id as de-duplication id: lines that come again within the queue's
dedup_window_s are not stored again, so that an import may simply be repeated.
`

export function addImport(program: Command, world: World): void {
  serverCommand(program, 'import', 'read what export wrote into a queue')
    .argument('<queue>')
    .argument('[file]', '- or nothing for standard input')
    .option('--dedup', 'store no message again that was imported a short time ago')
    .option('--from-line <n>', 'go on at this line of the file', whole)
    .addHelpText('after', GUIDE)
    .action(async (queue: string, file: string | undefined, flags: Flags) => {
      const { terminal } = world
      const fromStdin = file === undefined || file === '-'
      if (fromStdin && terminal.isTerminal.input)
        throw new UsageError('There is nothing to import. Give a file, or an export on standard input.')
      const c = new Context(world, flags)
      await new Import(c, queue, flags).run(fromStdin ? terminal.input() : createReadStream(file))
    })
}

class Import {
  private readonly c: Context
  private readonly queue: string
  private readonly dedup: boolean
  private readonly from: number
  private readonly interrupted: AbortSignal
  private header: Header | undefined
  /** Lines read so far, and lines that are done with: imported, or left out for good. */
  private read = 0
  private done = 0
  private ended = false
  private imported = 0
  private duplicates = 0
  private dropped = 0
  private expired = 0

  constructor(c: Context, queue: string, flags: Flags) {
    this.c = c
    this.queue = queue
    this.dedup = flags.dedup === true
    this.from = flags.fromLine ?? 2
    this.interrupted = c.terminal.interruption()
  }

  async run(input: AsyncIterable<Uint8Array>): Promise<void> {
    const lines = linesOf(input)
    const first = await lines.next()
    if (first.done === true) throw new Ending(FAILED, 'There is nothing in it, not even the head of an export.')
    this.header = parseHeader(first.value)
    this.read = 1
    this.done = Math.max(1, this.from - 1)
    if ((await this.c.queues.find(this.queue)) === undefined) await this.c.queues.put(this.queue, this.header.attributes)
    const progress = this.c.progress('imported', this.header.messages)
    try {
      for await (const { messages, upTo } of batchesOf(this.messagesOf(lines))) {
        if (messages.length > 0) await this.send(messages)
        this.done = Math.max(this.done, 1 + upTo)
        progress.show(this.done - 1)
        if (this.interrupted.aborted) throw new Ending(FAILED, 'Interrupted.')
      }
    } catch (error) {
      progress.end()
      this.stoppedAt(error)
      throw error
    }
    progress.end()
    await this.report()
  }

  /** Undefined for a line that gives no message. */
  private async *messagesOf(lines: AsyncIterable<Buffer>): AsyncGenerator<NewMessage | undefined> {
    for await (const bytes of lines) {
      this.read++
      if (this.ended) throw new Ending(FAILED, `Line ${this.read} is behind the end of the export.`)
      if (bytes.length === 0) yield undefined
      else yield this.messageOf(parseLine(bytes, this.read))
    }
  }

  private messageOf(line: Line): NewMessage | undefined {
    if (line.kind === 'end') this.ended = true
    if (line.kind === 'end' || this.read < this.from) return undefined
    const now = this.c.clock.now()
    if (line.expires_at !== undefined && line.expires_at <= now) {
      this.expired++
      return undefined
    }
    const { topic, ...message } = line.message
    return {
      ...message,
      // What has the topic of its old queue gets that of its new one.
      ...(topic === undefined || topic === `$queue/${this.header?.queue}` ? {} : { topic }),
      ...(line.expires_at === undefined ? {} : { ttl_s: Math.ceil((line.expires_at - now) / 1000) }),
      ...(line.until === undefined || line.until <= now ? {} : { delay_ms: line.until - now }),
      ...(this.dedup && line.id !== undefined ? { dedup_id: line.id } : {}),
    }
  }

  private async send(messages: readonly NewMessage[]): Promise<void> {
    const { dropped, duplicates } = await this.sent(messages)
    this.dropped += dropped
    this.duplicates += duplicates
    this.imported += messages.length - dropped - duplicates
  }

  private async sent(messages: readonly NewMessage[]): Promise<BatchSent> {
    const backOff = new BackOff(200, 10_000, systemRandom)
    for (let tries = 1; ; tries++) {
      try {
        return await sendBatch(this.c.queues, this.queue, messages)
      } catch (error) {
        // Only with an id can it be sent again without being stored twice.
        const again = this.dedup && error instanceof RequestError && error.passing && tries < TRIES
        if (!again || this.interrupted.aborted) throw error
        await new Promise<void>((resolve) => void this.c.clock.after(backOff.next(), resolve))
      }
    }
  }

  private stoppedAt(error: unknown): void {
    const doubt = error instanceof RequestError && error.status === 0
    const next = this.done + 1
    const unsure = doubt ? ` Of those from line ${next} on, up to 256 may be stored or not: no answer came.` : ''
    this.c.terminal.err(
      `aqueduct: stopped at line ${next}; ${counted(this.imported, 'message')} were imported.${unsure} To go on: --from-line ${next}${this.dedup ? ' --dedup' : ''}\n`,
    )
  }

  private async report(): Promise<void> {
    const { imported, duplicates, expired, dropped } = this
    const extra = [
      duplicates > 0 ? `${duplicates} were there before` : '',
      expired > 0 ? `${expired} had expired` : '',
      dropped > 0 ? `${dropped} were dropped` : '',
    ].filter((text) => text !== '')
    const more = extra.length > 0 ? ` (${extra.join(', ')})` : ''
    await this.c.show(
      { queue: this.queue, imported, duplicates, expired, dropped },
      () => `imported ${counted(imported, 'message')}${more}\n`,
    )
    if (!this.ended)
      throw new Ending(FAILED, 'The file has no end: it was cut, or its export did not complete. What is in it was imported.')
    if (dropped > 0) throw new Ending(FAILED, `${counted(dropped, 'message')} were dropped: the queue is full.`)
  }
}
