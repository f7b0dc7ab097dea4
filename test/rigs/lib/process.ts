/** What the kernel says about a process. */
import { readFileSync } from 'node:fs'

/** Resident memory in MiB. */
export function rss_mib(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return found === null ? 0 : Number(found[1]) / 1024
}

/** CPU time used so far, in seconds; grain 10 ms. */
export function cpu_s(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Samples the memory of a process until stopped, and tells the most it had. */
export function watchMemory(pid: number): () => number {
  let top = rss_mib(pid)
  const timer = setInterval(() => {
    try {
      top = Math.max(top, rss_mib(pid))
    } catch {
      clearInterval(timer)
    }
  }, 50)
  return () => {
    clearInterval(timer)
    return top
  }
}
