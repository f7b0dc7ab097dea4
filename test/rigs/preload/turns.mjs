/**
 * Loaded into a broker (`--import`): writes down every turn of its event loop that took long, as `moment wall cpu` in milliseconds, one a line, into
 * TURNS_FILE. The second is what anybody waits, the third what the main thread really ran: on a busy machine only that is the broker's own doing.
 */
import { openSync, readSync, writeSync } from 'node:fs'

const EVERY_MS = 10
const LONG_MS = 40

// Opened once: later there may be no descriptor left.
const stat = openSync('/proc/self/schedstat', 'r')
const out = openSync(process.env.TURNS_FILE, 'a')
const bytes = Buffer.alloc(100)

/** Time on a CPU, of the main thread. */
function cpu_ms() {
  return Number(bytes.toString('latin1', 0, readSync(stat, bytes, 0, bytes.length, 0)).split(' ', 1)[0]) / 1e6
}

let wall = performance.now()
let cpu = cpu_ms()
setInterval(() => {
  const now = performance.now()
  const used = cpu_ms()
  if (now - wall - EVERY_MS > LONG_MS) writeSync(out, `${Date.now()} ${(now - wall).toFixed(0)} ${(used - cpu).toFixed(0)}\n`)
  wall = now
  cpu = used
}, EVERY_MS).unref()
