/** A terminal for tests: what a command wrote, what it reads, who sits at it. */
import { OutputGone, type Terminal } from '../../src/cli/terminal.js'

export interface TestTerminalOptions {
  readonly input?: Iterable<string | Uint8Array>
  readonly isTerminal?: Partial<Terminal['isTerminal']>
  /** Lines that are read before the reader goes away. */
  readonly reads?: number
}

export class TestTerminal implements Terminal {
  written = Buffer.alloc(0)
  complaints = ''
  readonly isTerminal: Terminal['isTerminal']
  readonly columns = 100
  /** Called after each piece of output. */
  onPrint: (() => void) | undefined
  private readonly o: TestTerminalOptions
  private readonly controller = new AbortController()

  constructor(o: TestTerminalOptions = {}) {
    this.o = o
    this.isTerminal = { input: false, out: false, err: false, ...o.isTerminal }
  }

  get output(): string {
    return this.written.toString()
  }

  get lines(): string[] {
    return this.output.split('\n').slice(0, -1)
  }

  out(text: string): void {
    this.written = Buffer.concat([this.written, Buffer.from(text)])
  }

  err(text: string): void {
    this.complaints += text
  }

  async print(chunk: string | Uint8Array): Promise<void> {
    if (this.o.reads !== undefined && this.lines.length >= this.o.reads)
      throw new OutputGone(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    this.written = Buffer.concat([this.written, Buffer.from(chunk as string)])
    this.onPrint?.()
  }

  async *input(): AsyncGenerator<Uint8Array> {
    for (const chunk of this.o.input ?? []) yield Buffer.from(chunk as string)
  }

  interrupt(): void {
    this.controller.abort()
  }

  interruption(): AbortSignal {
    return this.controller.signal
  }
}
