/** Runs a command line in this process against a server, as `src/main.ts` would. */
import { type Actions, run } from '../../src/cli/program.js'
import { TestTerminal, type TestTerminalOptions } from './terminal.js'

export interface CliRun {
  readonly code: number
  readonly out: string
  readonly err: string
  /** Each line of the output as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect to be there.
  readonly json: any[]
  readonly terminal: TestTerminal
}

const none: Actions = {
  serve: () => Promise.reject(new Error('not here')),
  importAedes: () => Promise.reject(new Error('not here')),
  scramUser: () => Promise.reject(new Error('not here')),
}

/** `words`: the command line, already split. */
export async function cli(port: number, words: readonly string[], o: TestTerminalOptions = {}): Promise<CliRun> {
  const terminal = new TestTerminal(o)
  return runOn(terminal, port, words)
}

export async function runOn(terminal: TestTerminal, port: number, words: readonly string[]): Promise<CliRun> {
  const code = await run(words, { AQUEDUCT_URL: `http://127.0.0.1:${port}` }, none, terminal)
  return {
    code,
    out: terminal.output,
    err: terminal.complaints,
    terminal,
    get json() {
      return terminal.lines.map((line) => JSON.parse(line))
    },
  }
}
