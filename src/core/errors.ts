/**
 * Every way in which Aqueduct refuses or fails, as one closed list. A room throws one of these; each door maps the code to
 * its own wire form in one place. Adding a code means adding it here and in each door's map (the compiler asks for it).
 */
export type ErrorCode =
  /* settings and start */
  | 'bad_setting' // a key is unknown or its value not allowed; exit 2
  | 'port_in_use' // a listener could not open; exit 1
  | 'store_locked' // another process, or this one, has the folder open; exit 1
  | 'store_damaged' // the folder cannot be trusted; exit 1
  | 'store_version' // written by a newer Aqueduct; exit 1
  /* the store while running */
  | 'store_failed' // a commit failed; nothing of it may be acknowledged
  | 'store_full' // less than store.min_free_bytes left: new messages are refused
  /* queues */
  | 'queue_not_found'
  | 'queue_exists'
  | 'queue_full'
  | 'name_invalid'
  | 'attribute_invalid'
  | 'receipt_invalid'
  | 'message_not_found'
  | 'message_too_large'
  | 'session_not_found'
  /* bridge rules */
  | 'bridge_not_found'
  | 'read_only' // made by the settings, changed only there
  | 'limit_reached' // as many of these as a setting allows
  | 'busy' // too much of this kind is under way: try again
  /* topics */
  | 'topic_invalid'
  | 'filter_invalid'
  /* wire */
  | 'malformed_packet'
  | 'protocol_error'
  | 'not_authorised'
  | 'internal'

/**
 * The only error that crosses a room's door. `message` is a sentence a user can act on, and all that Node prints where nobody catches it: where it was
 * thrown says nothing to who can mend it. A fault of our own (`internal`) keeps its stack and its cause.
 */
export class AqueductError extends Error {
  declare readonly code: ErrorCode
  /** What it came from, for who looks closer. Not `cause`: that would be printed, stack and all. */
  declare readonly origin: unknown

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    const { stackTraceLimit } = Error
    if (code === 'internal') {
      super(message, options)
    } else {
      // Also what most of the time of a refusal would go into.
      Error.stackTraceLimit = 0
      super(message)
      Error.stackTraceLimit = stackTraceLimit
      this.stack = `AqueductError [${code}]: ${message}`
    }
    this.name = 'AqueductError'
    Object.defineProperty(this, 'code', { value: code })
    Object.defineProperty(this, 'origin', { value: options?.cause })
  }
}

/** True when `error` is ours and carries `code`. */
export function hasCode(error: unknown, code: ErrorCode): error is AqueductError {
  return error instanceof AqueductError && error.code === code
}
