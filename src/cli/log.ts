/** The program's log: JSON lines on stderr, through pino. */
import { pino } from 'pino'
import type { Settings } from '../config/schema.js'
import { AqueductError } from '../core/errors.js'
import type { Log } from '../core/log.js'

/** Lines waiting for a stderr that nobody reads; beyond it the newest are dropped, so that a stuck log cannot fill the memory. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024

export interface ProgramLog extends Log {
  /** Writes what is waiting, at once. For the moment before the process ends. */
  flush(): void
}

export function jsonLog(level: Settings['log']['level']): ProgramLog {
  const stderr = pino.destination({ dest: 2, sync: false, maxLength: WAITING_BYTES_MAX })
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      serializers: { err: errorFields },
    },
    stderr,
  )
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    flush() {
      try {
        stderr.flushSync()
      } catch {
        // Not open yet, or closed at the other end: there is nobody left to tell.
      }
    },
  }
}

/** An error that says what to do needs no stack: its code and sentence, and what it came from. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof AqueductError) || error.code === 'internal') return pino.stdSerializers.err(error as Error)
  const { code, message, origin } = error
  return { code, message, ...(origin instanceof Error ? { cause: origin.message } : {}) }
}
