/**
 * What `/metrics` says, in the Prometheus text format. A metric is a name and a function that is asked when somebody looks: whoever
 * counts, counts plain numbers of their own and never calls in here.
 *
 * Always true:
 * - labels come from closed lists of ours (a QoS, a reason, a queue kind); never a topic, a client id or a queue's name: those are
 *   other people's data, and there is no end of them;
 * - `prom-client` does the writing and stays behind this file.
 */
import { Registry } from 'prom-client'

/** One line: a value and what it is for. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type Reading = number | Iterable<Sample>

/** A histogram as it stands: `counts[i]` values were at most `bounds[i]`, not cumulative; the last count is for those above all bounds. */
export interface HistogramReading {
  readonly bounds: readonly number[]
  readonly counts: ArrayLike<number>
  readonly sum: number
}

/** Where metrics are declared. Names start with `aqueduct_`; a counter's ends with `_total`; units last, in base units (`_seconds`, `_bytes`). */
export interface Counters {
  /** Only grows while the process lives. */
  counter(name: string, help: string, read: () => Reading): void
  /** Goes up and down. */
  gauge(name: string, help: string, read: () => Reading): void
  histogram(name: string, help: string, read: () => HistogramReading): void
}

/** What the HTTP door needs. */
export interface MetricsText {
  readonly contentType: string
  /** All metrics as they stand now. Rejects only if a source throws. */
  text(): Promise<string>
}

export class MetricRegistry implements Counters, MetricsText {
  private readonly registry = new Registry()
  readonly contentType = this.registry.contentType

  counter(name: string, help: string, read: () => Reading): void {
    if (!name.endsWith('_total')) throw new Error(`a counter's name ends with _total: ${name}`)
    this.add(name, help, 'counter', () => samples(read()))
  }

  gauge(name: string, help: string, read: () => Reading): void {
    this.add(name, help, 'gauge', () => samples(read()))
  }

  histogram(name: string, help: string, read: () => HistogramReading): void {
    this.add(name, help, 'histogram', () => histogramLines(name, read()))
  }

  text(): Promise<string> {
    return this.registry.metrics()
  }

  /**
   * `prom-client` has no metric that is only read: its own keep values and are set. The registry asks for no more than a name and a
   * `get`, which is what this gives (pinned by test/metrics-registry.test.ts).
   */
  private add(name: string, help: string, type: string, lines: () => Line[]): void {
    if (this.registry.getSingleMetric(name) !== undefined) throw new Error(`metric ${name} is declared twice`)
    const metric = { name, help, type, get: async () => ({ name, help, type, values: lines() }) }
    this.registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0])
  }
}

interface Line {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly metricName?: string
}

function samples(reading: Reading): Line[] {
  return typeof reading === 'number' ? [{ labels: {}, value: reading }] : [...reading]
}

function histogramLines(name: string, { bounds, counts, sum }: HistogramReading): Line[] {
  const lines: Line[] = []
  let total = 0
  for (let i = 0; i < bounds.length; i++) {
    total += counts[i] ?? 0
    lines.push({ labels: { le: bounds[i] as number }, value: total, metricName: `${name}_bucket` })
  }
  total += counts[bounds.length] ?? 0
  lines.push({ labels: { le: '+Inf' }, value: total, metricName: `${name}_bucket` })
  lines.push({ labels: {}, value: sum, metricName: `${name}_sum` })
  lines.push({ labels: {}, value: total, metricName: `${name}_count` })
  return lines
}
