/** Where a command reads, writes and is interrupted: the process's own streams, or a test's. */

export interface Terminal {
  /** Results. */
  out(text: string): void
  /** Complaints and progress. */
  err(text: string): void
  /** Results of which it matters that they were taken: rejects with an `OutputGone` when nobody reads them any more. */
  print(chunk: string | Uint8Array): Promise<void>
  /** Standard input, as it comes. */
  input(): AsyncIterable<Uint8Array>
  /** Which of them a person sits at. */
  readonly isTerminal: { readonly input: boolean; readonly out: boolean; readonly err: boolean }
  /** How wide the lines on `err` may be. */
  readonly columns: number
  /** Aborted when the user interrupts (SIGINT, SIGTERM). Asking for it takes the signals over: who asks has to end by itself. */
  interruption(): AbortSignal
}

/** The reader of the output went away (`aqueduct receive q | head -1`), or its disk is full. */
export class OutputGone extends Error {
  /** Nobody reads; otherwise it is a disk that is full, or broken. */
  readonly broken: boolean
  constructor(error: NodeJS.ErrnoException) {
    super(error.message, { cause: error })
    this.broken = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED'
  }
}

/** What `processTerminal` needs of a process. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
}

export function processTerminal(streams: Streams): Terminal {
  const { stdin, stdout, stderr } = streams
  let interrupted: AbortController | undefined
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    print: (chunk) =>
      new Promise((resolve, reject) => {
        stdout.write(chunk, (error) => (error ? reject(new OutputGone(error)) : resolve()))
      }),
    input: () => stdin,
    isTerminal: { input: stdin.isTTY === true, out: stdout.isTTY === true, err: stderr.isTTY === true },
    get columns() {
      return stderr.columns ?? 80
    },
    interruption() {
      if (interrupted === undefined) {
        const controller = new AbortController()
        interrupted = controller
        for (const signal of ['SIGINT', 'SIGTERM'] as const) streams.on(signal, () => controller.abort())
      }
      return interrupted.signal
    },
  }
}
