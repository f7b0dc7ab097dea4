/** A structured logger, in the shape that pino has. Rooms take one by argument and never know where lines go. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const nothing = (): void => {}

/** Says nothing: for tests and for library users who did not pass a logger. */
export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }
