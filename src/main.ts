#!/usr/bin/env node
/** The process: arguments, settings, the application, signals. One process, never a child. */
import { argumentFault } from './cli/arguments.js'
import { USAGE } from './cli/exit.js'
import { type Actions, run } from './cli/program.js'
import { processTerminal } from './cli/terminal.js'
import type { Settings } from './config/schema.js'
import { AqueductError, hasCode } from './core/errors.js'
import type { Log } from './core/log.js'

/** Resolves at the first SIGTERM or SIGINT. Later ones are ignored: npm and the terminal both deliver one Ctrl-C. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.on('SIGTERM', resolve)
    process.on('SIGINT', resolve)
  })
}

/**
 * Signals that Node would answer by dying, or by opening a debugger: those who send them mean "read your settings again" or "open your log files again",
 * and there is neither here.
 */
function heedSignals(log: Log): void {
  process.on('SIGHUP', () => log.info({ signal: 'SIGHUP' }, 'nothing to reload: settings are read at a start'))
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
    process.on(signal, () => log.info({ signal }, 'this signal has no meaning here'))
  }
}

// A reader that went away (`aqueduct serve | head -1`) must not take the broker with it.
process.stdout.on('error', () => {})
process.stderr.on('error', () => {})

const actions: Actions = {
  async serve(settings: Settings): Promise<number> {
    const { jsonLog } = await import('./cli/log.js')
    const log = jsonLog(settings.log.level)
    heedSignals(log)
    // With every listener off nothing else would keep the process alive until it is told to stop.
    const alive = setInterval(() => {}, 2 ** 30)
    // Counted from the signal, also when it comes while the store is still being recovered.
    const stop = stopSignal().then((signal) => {
      log.info({ signal }, 'stopping')
      setTimeout(() => {
        log.error({ drain_s: settings.shutdown.drain_s }, 'did not stop within shutdown.drain_s')
        log.flush()
        process.exit(1)
      }, settings.shutdown.drain_s * 1000)
    })
    try {
      const { startApp } = await import('./app.js')
      const app = await startApp(settings, { log })
      await stop
      await app.close()
      log.info({}, 'stopped')
      return 0
    } finally {
      clearInterval(alive)
      log.flush()
    }
  },

  async importAedes(folder, settings) {
    const { importAedes } = await import('./app.js')
    return importAedes(folder, settings)
  },

  async scramUser(name, iterations) {
    const { readPassword } = await import('./cli/password.js')
    const { scramUserLine } = await import('./auth/user-line.js')
    const password = () => readPassword({ input: process.stdin, output: process.stderr })
    try {
      return await scramUserLine(name, password, iterations === undefined ? {} : { iterations })
    } catch (error) {
      // On the command line a wrong name is wrong usage.
      throw hasCode(error, 'attribute_invalid') ? new AqueductError('bad_setting', error.message) : error
    }
  },
}

const words = process.argv.slice(2)
const fault = argumentFault(words)
if (fault !== undefined) process.stderr.write(`aqueduct: ${fault}\n`)
const code = fault === undefined ? await run(words, process.env, actions, processTerminal(process)) : USAGE
// Not process.exit alone: text for a pipe may still be waiting in this process.
process.exitCode = code
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
