/** Which start of the machine this is. */
import { readFileSync } from 'node:fs'

/** A word that is another one after each start of the machine; undefined where the system does not say (anything but Linux). */
export function bootId(): string | undefined {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return id === '' ? undefined : id
  } catch {
    return undefined
  }
}
