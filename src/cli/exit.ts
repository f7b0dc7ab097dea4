/**
 * How a command ends. The exit codes are part of the contract:
 *
 *     0  done
 *     1  failed or refused: the server said no, a file could not be written, the reader of the output went away
 *     2  wrong usage or a wrong setting; nothing was tried
 *     3  there was nothing: no such queue, bridge, session or message, or no message to receive
 *     4  no server answered
 */
import { CommanderError } from 'commander'
import { RequestError } from '../client/errors.js'
import { AqueductError } from '../core/errors.js'
import { OutputGone } from './terminal.js'

export const DONE = 0
export const FAILED = 1
export const USAGE = 2
export const NOTHING = 3
export const AWAY = 4

/** The command line asks for something that cannot be. `message` is a sentence. */
export class UsageError extends Error {}

/** A command that ends otherwise than as `done`; `message` is a sentence, or empty when everything has been said. */
export class Ending extends Error {
  readonly exit: number
  constructor(exit: number, message: string) {
    super(message)
    this.exit = exit
  }
}

/** The exit code for what a command threw, and what to say on stderr. */
export function endingOf(error: unknown): { exit: number; text: string } {
  // Commander has written its own message, or the help or version that was asked for.
  if (error instanceof CommanderError) return { exit: error.exitCode === 0 ? DONE : USAGE, text: '' }
  if (error instanceof Ending) return { exit: error.exit, text: said(error.message) }
  // Whoever does not want the rest need not be told that there is one.
  if (error instanceof OutputGone)
    return { exit: FAILED, text: error.broken ? '' : said(`the output cannot be written: ${error.message}`) }
  if (error instanceof UsageError) return { exit: USAGE, text: said(error.message) }
  if (error instanceof RequestError) return { exit: exitOf(error), text: said(error.message) }
  if (error instanceof AqueductError) return { exit: error.code === 'bad_setting' ? USAGE : FAILED, text: said(error.message) }
  const { code, path } = (typeof error === 'object' && error !== null ? error : {}) as NodeJS.ErrnoException
  // A file of the user's: the system's own words say it all.
  if (code !== undefined && path !== undefined) return { exit: FAILED, text: said((error as Error).message) }
  return { exit: FAILED, text: said(error instanceof Error ? (error.stack ?? error.message) : String(error)) }
}

function exitOf({ code, status }: RequestError): number {
  if (code === 'url_invalid') return USAGE
  if (status === 0) return AWAY
  return status === 404 ? NOTHING : FAILED
}

const said = (message: string): string => (message === '' ? '' : `aqueduct: ${message}\n`)
