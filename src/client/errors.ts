/**
 * What a caller of another process's Aqueduct can be told. The codes are the server's own (`queue_not_found`, `attribute_invalid`, …) and three that
 * no server sends: `server_away` (nothing, or not an Aqueduct, answered), `timed_out` (it did not answer in time), `url_invalid`.
 */

/** A request that was refused or that nobody answered. `message` is a sentence a user can act on, where there is one the server's own. */
export class RequestError extends Error {
  readonly code: string
  /** Of HTTP; 0 when there was no answer. */
  readonly status: number
  constructor(code: string, status: number, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'RequestError'
    this.code = code
    this.status = status
  }

  /** The same request may be answered otherwise later: the server is away, starting, stopping, full or broken; it did not find it wrong. */
  get passing(): boolean {
    return this.status === 0 || this.status >= 500 || this.status === 408 || this.status === 429
  }
}
