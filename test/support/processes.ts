/** Child processes of tests: their output by lines, and their end. */
import { type ChildProcess, spawn } from 'node:child_process'

export class Child {
  readonly lines: string[] = []
  /** What it said on stderr. */
  complaints = ''
  readonly ended: Promise<number | null>
  private readonly child: ChildProcess
  private waiting: (() => void)[] = []

  constructor(command: string, args: readonly string[], input?: string) {
    const child = spawn(command, args, { stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] })
    this.child = child
    let rest = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n')
      rest = parts.pop() as string
      this.lines.push(...parts)
      this.wake()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.complaints += text
    })
    child.stdin?.end(input)
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        this.wake()
        resolve(code)
      })
    })
  }

  /** Resolves once `count` lines have come; fails when it ends before that. */
  async has(count: number): Promise<string[]> {
    while (this.lines.length < count) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`ended after ${this.lines.length} of ${count} lines: ${this.complaints}`)
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    }
    return this.lines
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal)
    return this.ended
  }

  private wake(): void {
    for (const go of this.waiting.splice(0)) go()
  }
}

/** Runs to the end. Fails, with what it said, unless it exits with 0. */
export async function run(command: string, args: readonly string[], input?: string): Promise<string[]> {
  const child = new Child(command, args, input)
  const code = await child.ended
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${child.complaints}`)
  return child.lines
}
