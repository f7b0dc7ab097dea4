/** `aqueduct export QUEUE [FILE]`: all that a queue holds as JSON lines; with `--drain` the messages leave the queue once they are in the file. */
import { type FileHandle, open } from 'node:fs/promises'
import type { Command } from 'commander'
import { endLine, headerLine, messageLine } from './archive.js'
import { Context, type ServerFlags, serverCommand, type World } from './context.js'
import { Ending, FAILED } from './exit.js'
import type { Progress } from './progress.js'
import type { Terminal } from './terminal.js'
import { counted } from './text.js'

interface Flags extends ServerFlags {
  readonly drain?: true
  readonly force?: true
}

const PAGE = 256
/** Long enough to write and flush what one request brought. */
const DRAIN_LEASE_MS = 60_000
const STATES = 'ready,behind,delayed,leased'

const GUIDE = `
Without --drain the queue stays as it is; what comes, goes or changes its state meanwhile may be missing or come twice. With --drain each message is in the file, and the
file on the disk, before it leaves the queue; what is delayed or leased to others stays.
`

export function addExport(program: Command, world: World): void {
  serverCommand(program, 'export', 'write a queue as JSON lines')
    .argument('<queue>')
    .argument('[file]', 'a file that is not there yet; - or nothing for standard output')
    .option('--drain', 'take the messages out of the queue')
    .option('--force', 'write over a file that is there')
    .addHelpText('after', GUIDE)
    .action(async (queue: string, file: string | undefined, flags: Flags) => {
      const c = new Context(world, flags)
      const shape = await c.queues.get(queue)
      const sink = await sinkOf(file, flags.force === true, world.terminal)
      const { ready, delayed, leased } = shape.counts
      const progress = c.progress('exported', flags.drain === true ? ready : ready + delayed + leased)
      const work = new Export(c, queue, sink, progress)
      try {
        await sink.write(headerLine(shape, c.clock.now()))
        await (flags.drain === true ? work.drain() : work.copy())
        await sink.write(endLine(work.written))
        await sink.flush()
      } catch (error) {
        progress.end()
        const where = flags.drain === true ? ` ${counted(work.taken, 'message')} of them left the queue.` : ''
        world.terminal.err(`aqueduct: not complete: ${counted(work.written, 'message')} were written.${where}\n`)
        throw error
      } finally {
        await sink.close()
      }
      progress.end()
      await report(c, queue, file, work.written, flags)
    })
}

async function report(c: Context, queue: string, file: string | undefined, messages: number, flags: Flags): Promise<void> {
  const text = flags.json === true ? JSON.stringify({ queue, messages }) : `exported ${counted(messages, 'message')} of ${queue}`
  // Standard output may be the export itself.
  if (file === undefined || file === '-') c.terminal.err(`${text}\n`)
  else await c.terminal.print(`${text}\n`)
}

class Export {
  written = 0
  /** Left the queue. */
  taken = 0
  private readonly c: Context
  private readonly queue: string
  private readonly sink: Sink
  private readonly progress: Progress
  private readonly interrupted: AbortSignal

  constructor(c: Context, queue: string, sink: Sink, progress: Progress) {
    this.c = c
    this.queue = queue
    this.sink = sink
    this.progress = progress
    this.interrupted = c.terminal.interruption()
  }

  async copy(): Promise<void> {
    let after: string | undefined
    do {
      this.goOn()
      const page = await this.c.queues.peek(this.queue, { limit: PAGE, states: STATES, after })
      await this.write(page.messages.map(messageLine))
      after = page.next ?? undefined
    } while (after !== undefined)
  }

  async drain(): Promise<void> {
    for (;;) {
      this.goOn()
      const messages = await this.c.queues.receive(this.queue, { max: PAGE, wait_ms: 0, lease_ms: DRAIN_LEASE_MS })
      if (messages.length === 0) return
      const receipts = messages.map(({ receipt }) => receipt)
      try {
        await this.write(messages.map(messageLine))
        await this.sink.flush()
      } catch (error) {
        await this.c.queues.settle(this.queue, 'nack', receipts, { count: false })
        throw error
      }
      const { results } = await this.c.queues.settle(this.queue, 'ack', receipts)
      this.taken += results.filter(({ ok }) => ok).length
    }
  }

  private async write(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return
    await this.sink.write(lines.join(''))
    this.written += lines.length
    this.progress.show(this.written)
  }

  private goOn(): void {
    if (this.interrupted.aborted) throw new Ending(FAILED, 'Interrupted.')
  }
}

interface Sink {
  write(text: string): Promise<void>
  /** What was written is on the disk; standard output has taken it. */
  flush(): Promise<void>
  close(): Promise<void>
}

async function sinkOf(file: string | undefined, force: boolean, terminal: Terminal): Promise<Sink> {
  if (file === undefined || file === '-') {
    return { write: (text) => terminal.print(text), flush: () => Promise.resolve(), close: () => Promise.resolve() }
  }
  const handle = await opened(file, force)
  return {
    write: async (text) => void (await handle.appendFile(text)),
    flush: () => handle.sync().catch(notSyncable),
    close: () => handle.close(),
  }
}

function opened(file: string, force: boolean): Promise<FileHandle> {
  return open(file, force ? 'w' : 'wx').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
    throw new Ending(FAILED, `There is a file ${JSON.stringify(file)} already. --force writes over it.`)
  })
}

/** A pipe or a device has no disk. */
function notSyncable(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EINVAL' && error.code !== 'ENOTSUP') throw error
}
