/** What the figures were taken on, and who else used the CPU meanwhile (Linux: everything comes from /proc). */
import { execFileSync } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

const TICKS_PER_S = 100 // USER_HZ, fixed in Linux's interface

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memory_gib: number
  readonly kernel: string
  readonly node: string
  readonly file_system: string
  readonly state_folder: string
}

export function describeMachine(stateDir: string): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    file_system: fileSystemOf(stateDir),
    state_folder: stateDir,
  }
}

/** Type, device and options of the mount that holds the folder. */
function fileSystemOf(dir: string): string {
  const path = realpathSync(dir)
  const mounts = readFileSync('/proc/self/mounts', 'utf8').trim().split('\n')
  let best: readonly string[] = []
  for (const line of mounts) {
    const fields = line.split(' ')
    const at = fields[1] ?? ''
    const inside = path === at || path.startsWith(at.endsWith('/') ? at : `${at}/`)
    if (inside && at.length >= (best[1]?.length ?? 0)) best = fields
  }
  return `${best[2] ?? 'unknown'} on ${best[0] ?? 'unknown'} (${best[3] ?? ''})`
}

export function versionOf(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0] ?? ''
  } catch (error) {
    // mosquitto -h prints its version and exits 3
    const stdout = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
    return stdout.split('\n')[0] ?? ''
  }
}

/** Seconds of CPU that all processes have used so far, and that the hypervisor gave to others. */
export function cpuTotals(): { busy_s: number; stolen_s: number } {
  const f = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).slice(1).map(Number)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = f
  return { busy_s: (user + nice + system + irq + softirq) / TICKS_PER_S, stolen_s: steal / TICKS_PER_S }
}

/** Seconds of CPU of one process with all its threads; 0 when it is gone. */
export function cpuOf(pid: number): number {
  try {
    const f = (readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop() ?? '').split(' ')
    return (Number(f[11]) + Number(f[12])) / TICKS_PER_S
  } catch {
    return 0
  }
}
