/**
 * The command line: which commands and flags there are, and nothing of what they do. What they do is passed in, so that this room
 * needs only settings, and `--help` or a bad setting never loads the broker.
 *
 * Exit codes are in `exit.ts`.
 */
import { Command } from 'commander'
import { type Environment, loadSettings } from '../config/load.js'
import { effectiveToml } from '../config/print.js'
import { type Settings, table } from '../config/schema.js'
import { version } from '../core/version.js'
import { addBridge } from './bridge.js'
import { endingOf } from './exit.js'
import { addExport } from './export.js'
import { addImport } from './import.js'
import { addPublish } from './publish.js'
import { addQueue } from './queue.js'
import { addReceive } from './receive.js'
import { addSession } from './session.js'
import type { Terminal } from './terminal.js'
import { addTrace } from './trace.js'

export interface Actions {
  /** Runs the broker until it is told to stop; returns the exit code. */
  serve(settings: Settings): Promise<number>
  /** Reads a folder of aedes-persistence-level into the store and counts what it took over. */
  importAedes(folder: string, settings: Settings): Promise<Imported>
  /** The line of a users file for `name`; reads the password by itself. `iterations`: undefined for the default. */
  scramUser(name: string, iterations: number | undefined): Promise<string>
}

export interface Imported {
  readonly sessions: number
  readonly messages: number
  readonly retained: number
  readonly wills: number
}

interface Flags {
  readonly config?: string
  readonly set?: readonly string[]
}

/** Runs one command line (without the names of node and the script) and returns the exit code. Never throws. */
export async function run(argv: readonly string[], env: Environment, actions: Actions, terminal: Terminal): Promise<number> {
  let exit = 0
  const load = ({ config: file, set }: Flags) => loadSettings({ file, env, set })

  const program = new Command('aqueduct')
    .description('An MQTT broker whose topics are durable queues.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help for a command')
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
    .showHelpAfterError('(aqueduct --help lists the commands)')

  withSettings(program.command('serve'))
    .description('run the broker until SIGTERM or SIGINT')
    .action(async (flags: Flags) => {
      exit = await actions.serve(load(flags).settings)
    })

  withSettings(program.command('import-aedes'))
    .argument('<folder>', 'a LevelDB folder that aedes-persistence-level wrote; nothing in it is changed')
    .description('take over sessions, queued and retained messages and wills from plain Aedes')
    .action(async (folder: string, flags: Flags) => {
      const { sessions, messages, retained, wills } = await actions.importAedes(folder, load(flags).settings)
      const counts = [`${sessions} sessions`, `${messages} queued messages`, `${retained} retained messages`, `${wills} wills`]
      terminal.out(`imported ${counts.join(', ')} from ${folder}\n`)
    })

  program
    .command('scram-user')
    .argument('<name>', 'the user name')
    .option('--iterations <number>', 'how often the password is hashed, 4096 or more (default 15000)', Number)
    .description('print a line for the file of auth.scram_file; the password is asked for, or read from a pipe')
    .action(async (name: string, flags: { iterations?: number }) => {
      terminal.out(`${await actions.scramUser(name, flags.iterations)}\n`)
    })

  withSettings(program.command('config'))
    .description('print the settings in effect, as a settings file')
    .action((flags: Flags) => {
      const { settings, origins } = load(flags)
      terminal.out(effectiveToml(table, settings, origins))
    })

  const world = { env, terminal, ends: (code: number) => void (exit = code) }
  for (const add of [addQueue, addBridge, addSession, addPublish, addReceive, addTrace, addExport, addImport]) add(program, world)

  try {
    await program.parseAsync([...argv], { from: 'user' })
    return exit
  } catch (error) {
    const { exit: code, text } = endingOf(error)
    if (text !== '') terminal.err(text)
    return code
  }
}

function withSettings(command: Command): Command {
  const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]
  return command
    .option('-c, --config <file>', 'read settings from a TOML file')
    .option('-s, --set <key=value>', 'change one setting; may be given again', collect)
}
