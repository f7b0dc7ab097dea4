/** What every command that speaks to a server has: the options `--url` and `--json`, the server, and the terminal. */
import { type Command, InvalidArgumentError } from 'commander'
import { QueueApi } from '../client/api.js'
import { STANDARD_URL } from '../client/client.js'
import { Http } from '../client/http.js'
import type { Environment } from '../config/load.js'
import { type Clock, holdingClock } from '../core/clock.js'
import { NOTHING } from './exit.js'
import { Progress } from './progress.js'
import type { Terminal } from './terminal.js'

/** Where the server is, unless `--url` says it. */
export const URL_VARIABLE = 'AQUEDUCT_URL'

export interface ServerFlags {
  readonly url?: string
  readonly json?: boolean
}

/** What a command of the program needs from outside. */
export interface World {
  readonly env: Environment
  readonly terminal: Terminal
  /** Called with the exit code of a command that ends well and yet not with 0. */
  readonly ends: (exit: number) => void
}

export class Context {
  readonly terminal: Terminal
  readonly clock: Clock = holdingClock
  readonly json: boolean
  readonly http: Http
  readonly queues: QueueApi
  readonly ends: (exit: number) => void

  constructor(world: World, flags: ServerFlags) {
    this.terminal = world.terminal
    this.ends = world.ends
    this.json = flags.json === true
    this.http = new Http(flags.url ?? (world.env[URL_VARIABLE] || STANDARD_URL), this.clock)
    this.queues = new QueueApi(this.http)
  }

  /** One JSON document on a line of its own, or what `people` makes of it. */
  async show<T>(value: T, people: (value: T) => string): Promise<void> {
    await this.terminal.print(this.json ? `${JSON.stringify(value)}\n` : people(value))
  }

  /** Many: a JSON document a line, or what `people` makes of all of them. `none`: what people are told on stderr when there are none. */
  async showAll<T>(values: readonly T[], people: (values: readonly T[]) => string, none?: string): Promise<void> {
    if (values.length === 0 && none !== undefined && !this.json) this.terminal.err(`${none}\n`)
    const lines = (): string => values.map((value) => `${JSON.stringify(value)}\n`).join('')
    const text = this.json ? lines() : people(values)
    if (text !== '') await this.terminal.print(text)
  }

  /** There is nothing: a word for people on stderr, nothing in the way of scripts, and exit code 3. */
  nothing(sentence: string): void {
    if (!this.json) this.terminal.err(`${sentence}\n`)
    this.ends(NOTHING)
  }

  progress(what: string, total?: number): Progress {
    return new Progress(this.terminal, this.clock, what, total)
  }
}

/** A command that speaks to a server: `name` with its arguments, as commander writes them. */
export function serverCommand(parent: Command, name: string, text: string): Command {
  return parent
    .command(name)
    .description(text)
    .option('--url <url>', `the server (default: $${URL_VARIABLE}, or ${STANDARD_URL})`)
    .option('--json', 'print JSON, a document a line, for programs')
}

/** A group of commands. Without one of them it prints its help, as wrong usage. */
export function group(parent: Command, name: string, text: string): Command {
  return parent.command(name).description(text)
}

/** A whole number as a flag's value; its range is the server's business. */
export function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is a whole number.')
  return Number(text)
}
