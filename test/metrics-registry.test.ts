import { describe, expect, it } from 'vitest'
import { BrokerStats } from '../src/broker/stats.js'
import { COMMIT_SECONDS_BOUNDS, Histogram } from '../src/metrics/histogram.js'
import { createMetrics } from '../src/metrics/metrics.js'
import { MetricRegistry } from '../src/metrics/registry.js'
import type { BrokerCounts, MetricSources } from '../src/metrics/stats.js'
import { ManualClock } from './support/clock.js'

describe('the metrics registry', () => {
  it('reads a counter, a gauge and labels when asked, not before', async () => {
    const registry = new MetricRegistry()
    let n = 1
    let reads = 0
    registry.counter('a_total', 'Things.', () => {
      reads++
      return n
    })
    registry.gauge('b', 'Others.', () => [
      { labels: { kind: 'x' }, value: 2 },
      { labels: { kind: 'y', state: 'z' }, value: 3 },
    ])
    expect(reads).toBe(0)
    n = 5
    expect(await registry.text()).toBe(
      '# HELP a_total Things.\n# TYPE a_total counter\na_total 5\n\n' +
        '# HELP b Others.\n# TYPE b gauge\nb{kind="x"} 2\nb{kind="y",state="z"} 3\n',
    )
    expect(reads).toBe(1)
    expect(registry.contentType).toMatch(/^text\/plain/)
  })

  it('writes a histogram with cumulative buckets', async () => {
    const registry = new MetricRegistry()
    const h = new Histogram([0.001, 0.01])
    registry.histogram('h_seconds', 'Time.', () => h)
    for (const v of [0.0005, 0.001, 0.002, 0.5, 7]) h.observe(v)
    expect(await registry.text()).toBe(
      '# HELP h_seconds Time.\n# TYPE h_seconds histogram\n' +
        'h_seconds_bucket{le="0.001"} 2\nh_seconds_bucket{le="0.01"} 3\nh_seconds_bucket{le="+Inf"} 5\n' +
        'h_seconds_sum 7.5035\nh_seconds_count 5\n',
    )
  })

  it('writes infinity as Prometheus does', async () => {
    const registry = new MetricRegistry()
    registry.gauge('free_bytes', 'Room.', () => Number.POSITIVE_INFINITY)
    expect(await registry.text()).toContain('free_bytes +Inf')
  })

  it('refuses a second metric of a name and a counter without _total', () => {
    const registry = new MetricRegistry()
    registry.gauge('x', 'X.', () => 0)
    expect(() => registry.gauge('x', 'X.', () => 0)).toThrow('twice')
    expect(() => registry.counter('y', 'Y.', () => 0)).toThrow('_total')
  })

  it('keeps its bounds in order', () => {
    expect(() => new Histogram([1, 1])).toThrow('rise')
    expect(new Histogram().bounds).toEqual(COMMIT_SECONDS_BOUNDS)
  })
})

function brokerCounts(): BrokerCounts {
  return {
    connectionsTotal: 7,
    received: [1, 2, 3],
    sent: [4, 5, 6],
    bytesReceived: 100,
    bytesSent: 200,
    droppedQos0: 8,
    droppedReserved: 9,
    droppedRefused: 0,
    droppedTooLarge: 0,
    inputStalls: 0,
    inputRests: 0,
    refusedFull: 10,
    refusedQuota: 48,
    turnedAway: 49,
    tooLarge: 53,
    malformed: 11,
    takeovers: 12,
    keepaliveTimeouts: 13,
    connectTimeouts: 14,
    authRefused: 19,
    willsPublished: 15,
    willsDropped: 17,
    retainedExpired: 18,
    sessionsExpired: 16,
  }
}

function allSources(): Required<MetricSources> {
  return {
    version: '1.2.3',
    broker: brokerCounts(),
    connectionsOpen: () => 3,
    sessions: () => 4,
    subscriptions: () => 5,
    retained: () => 6,
    retainedBytes: () => 48,
    wills: () => 49,
    sessionMemory: () => 50,
    retainedMemory: () => 51,
    refused: () => [['mqtt.max_wills', 52]],
    departures: () => [
      { kind: 'session', reason: 'acked', count: 20 },
      { kind: 'pull', reason: 'dead', count: 21 },
    ],
    queues: () => [{ kind: 'session', queues: 1, ready: 2, leased: 3, delayed: 4, bytes: 5 }],
    clock: { steps: 2, offset_ms: -3_500 },
    store: { commits: 30, commitFailures: 31, reopened: 32, commitSeconds: new Histogram(), freeBytes: 33 },
    ready: () => true,
    bridgeRules: () => 40,
    delayed: () => 47,
    bridge: { copied: 41, reasons: { queue_full: 42, bad_name: 43 }, unmatched: 44, errors: 45, cut: 47, required: 46 },
  }
}

describe('what /metrics says', () => {
  it('says every number of every source', async () => {
    const text = await createMetrics(allSources(), new ManualClock()).text()
    for (const line of [
      'aqueduct_info{version="1.2.3"} 1',
      'aqueduct_ready 1',
      'aqueduct_connections 3',
      'aqueduct_sessions 4',
      'aqueduct_subscriptions 5',
      'aqueduct_retained_messages 6',
      'aqueduct_retained_bytes 48',
      'aqueduct_wills 49',
      'aqueduct_session_memory_bytes 50',
      'aqueduct_retained_memory_bytes 51',
      'aqueduct_refused_total{limit="mqtt.max_wills"} 52',
      'aqueduct_connections_total 7',
      'aqueduct_messages_received_total{qos="0"} 1',
      'aqueduct_messages_received_total{qos="2"} 3',
      'aqueduct_messages_sent_total{qos="1"} 5',
      'aqueduct_bytes_received_total 100',
      'aqueduct_bytes_sent_total 200',
      'aqueduct_messages_dropped_total{reason="slow_reader"} 8',
      'aqueduct_messages_dropped_total{reason="reserved_topic"} 9',
      'aqueduct_messages_dropped_total{reason="store_full"} 10',
      'aqueduct_messages_dropped_total{reason="queue_full"} 48',
      'aqueduct_connections_closed_total{reason="publish_refused"} 49',
      'aqueduct_connections_closed_total{reason="packet_too_large"} 53',
      'aqueduct_connections_closed_total{reason="malformed"} 11',
      'aqueduct_connections_closed_total{reason="taken_over"} 12',
      'aqueduct_connections_closed_total{reason="keep_alive"} 13',
      'aqueduct_connections_closed_total{reason="no_connect"} 14',
      'aqueduct_connections_closed_total{reason="not_authenticated"} 19',
      'aqueduct_wills_published_total 15',
      'aqueduct_wills_dropped_total 17',
      'aqueduct_retained_expired_total 18',
      'aqueduct_sessions_expired_total 16',
      'aqueduct_departures_total{kind="session",reason="acked"} 20',
      'aqueduct_departures_total{kind="pull",reason="dead"} 21',
      'aqueduct_bridge_rules 40',
      'aqueduct_delayed_messages 47',
      'aqueduct_bridge_copied_total 41',
      'aqueduct_bridge_refused_total{reason="bad_name"} 43',
      'aqueduct_bridge_unmatched_total 44',
      'aqueduct_bridge_cut_total 47',
      'aqueduct_bridge_errors_total 45',
      'aqueduct_bridge_required_total 46',
      'aqueduct_queues{kind="session"} 1',
      'aqueduct_queue_entries{kind="session",state="ready"} 2',
      'aqueduct_queue_entries{kind="session",state="leased"} 3',
      'aqueduct_queue_entries{kind="session",state="delayed"} 4',
      'aqueduct_queue_bytes{kind="session"} 5',
      'aqueduct_clock_steps_total 2',
      'aqueduct_clock_offset_seconds -3.5',
      'aqueduct_commits_total 30',
      'aqueduct_commit_failures_total 31',
      'aqueduct_store_reopened_total 32',
      'aqueduct_commit_seconds_count 0',
      'aqueduct_store_free_bytes 33',
    ]) {
      expect(text.split('\n')).toContain(line)
    }
  })

  it('describes the process', async () => {
    const clock = new ManualClock()
    const text = await createMetrics({}, clock).text()
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0)
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect(value('nodejs_heap_size_used_bytes')).toBeGreaterThan(1e6)
    expect(value('nodejs_eventloop_active_seconds_total')).toBeGreaterThan(0)
    expect(value('process_start_time_seconds')).toBeLessThan(clock.now() / 1000)
    expect(text).not.toContain('aqueduct_')
  })

  it('has well-formed names, help and no metric twice', async () => {
    const text = await createMetrics(allSources(), new ManualClock()).text()
    const seen = new Set<string>()
    for (const line of text.split('\n')) {
      if (line.startsWith('# HELP ')) {
        const [, name, help] = /^# HELP (\S+) (.+)$/.exec(line) ?? []
        expect(name).toMatch(/^(aqueduct|process|nodejs)_[a-z_]+$/)
        expect(help).toMatch(/\.$/)
        expect(seen.has(name as string)).toBe(false)
        seen.add(name as string)
      } else if (line !== '' && !line.startsWith('# TYPE ')) {
        expect(line).toMatch(/^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.eInf]+$/)
      }
    }
    expect(seen.size).toBeGreaterThan(25)
  })
})

describe('the sources', () => {
  it('are what the broker counts', async () => {
    const stats = new BrokerStats()
    stats.received[1] = 4
    const counts: BrokerCounts = stats
    const metrics = createMetrics({ broker: counts }, new ManualClock())
    stats.connectionsTotal = 2
    const text = await metrics.text()
    expect(text).toContain('\naqueduct_connections_total 2\n')
    expect(text).toContain('\naqueduct_messages_received_total{qos="1"} 4\n')
  })
})
