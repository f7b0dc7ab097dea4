/**
 * The process itself. Not `collectDefaultMetrics` of prom-client: that samples the event loop's delay a hundred times a second and
 * observes every garbage collection, which an idle broker would pay for all day.
 */
import { performance } from 'node:perf_hooks'
import type { Clock } from '../core/clock.js'
import type { Counters } from './registry.js'

export function addProcessMetrics(to: Counters, clock: Clock): void {
  const started = clock.now() / 1000 - process.uptime()
  to.counter('process_cpu_seconds_total', 'User and system CPU time spent, in seconds.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  to.gauge('process_start_time_seconds', 'When the process started, in seconds since 1970.', () => started)
  to.gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  to.gauge('nodejs_heap_size_used_bytes', 'Heap in use.', () => process.memoryUsage().heapUsed)
  to.gauge('nodejs_external_memory_bytes', 'Memory held by objects outside the heap, buffers included.', () => {
    return process.memoryUsage().external
  })
  to.counter('nodejs_eventloop_active_seconds_total', 'Time in which the event loop was busy, in seconds.', () => {
    return performance.eventLoopUtilization().active / 1000
  })
}
