/** The wall clock, and the boot of the machine, as a broker under the preload library sees them. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildPreload } from './preload.js'

export class WallClock {
  /** For the environment of a broker. */
  readonly env: Record<string, string>
  /** How far it is ahead of the real one. */
  shift_ms = 0
  private readonly shift: string
  private readonly boot: string
  private boots = 0

  constructor(work: string) {
    this.shift = join(work, 'shift')
    this.boot = join(work, 'boot')
    this.set(0)
    this.reboot()
    this.env = { LD_PRELOAD: buildPreload('preload/clock.c', work), CLOCK_SHIFT: this.shift, CLOCK_BOOT: this.boot }
  }

  now(): number {
    return Date.now() + this.shift_ms
  }

  set(shift_ms: number): void {
    this.shift_ms = shift_ms
    const value = Buffer.alloc(8)
    value.writeBigInt64LE(BigInt(shift_ms) * 1_000_000n)
    // In place: a broker has it mapped.
    writeFileSync(this.shift, value, { flag: this.boots === 0 ? 'w' : 'r+' })
  }

  /** The next broker is on a machine that was started anew. */
  reboot(): void {
    this.boots++
    // In the form that the kernel has.
    writeFileSync(this.boot, `00000000-0000-4000-8000-${String(this.boots).padStart(12, '0')}\n`)
  }
}
