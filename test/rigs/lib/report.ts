/** Tables and sums of verdicts. */
import type { Verdict } from './world.js'

export function total(verdicts: readonly Verdict[]): Verdict {
  const sum: Verdict = {
    sent: 0,
    acked: 0,
    owed: 0,
    delivered: 0,
    lost: 0,
    lost_acked_before: 0,
    doubled: 0,
    inverted: 0,
    unasked: 0,
    repeated: 0,
    late: 0,
    retained_wrong: 0,
    sessions_lost: 0,
  }
  for (const v of verdicts) for (const name of Object.keys(sum) as (keyof Verdict)[]) sum[name] += v[name]
  return sum
}

/** One line a row; the heading once. */
export function printTable(rows: readonly Record<string, string | number>[], heading: boolean): void {
  const width = (name: string): number => Math.max(name.length, name === 'moment' ? 9 : 7)
  if (heading && rows.length > 0)
    console.log(
      Object.keys(rows[0])
        .map((name) => name.padStart(width(name)))
        .join(' '),
    )
  for (const row of rows) {
    console.log(
      Object.entries(row)
        .map(([name, value]) => String(value).padStart(width(name)))
        .join(' '),
    )
  }
}
