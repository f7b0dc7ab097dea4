/**
 * Which run of the kernel this is: what was written before and what is in its memory now belong together only within one.
 */
import { readFileSync } from 'node:fs'

/** The kernel's own name for this boot, or undefined where it has none (not Linux) or it cannot be read. */
export function bootId(): string | undefined {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    return /^[0-9a-f-]{36}$/.test(id) ? id : undefined
  } catch {
    return undefined
  }
}
