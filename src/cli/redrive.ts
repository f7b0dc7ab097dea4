/** Sends dead letters home in steps, as fast as the user wants them to come. */
import type { Context } from './context.js'
import { Ending, FAILED } from './exit.js'
import { counted } from './text.js'

export interface RedriveFlags {
  readonly max?: number
  /** Messages a second. */
  readonly rate?: number
}

interface Step {
  readonly moved: number
  readonly homeless?: number
  readonly others?: number
  readonly full: boolean
}

/** Messages of one request; with a rate, what a tenth of a second may have. */
const STEP = 1_000

/** `total`: what there is, for the progress. `step` moves at most as many as it is told. */
export async function redriveAll(
  c: Context,
  flags: RedriveFlags,
  total: number,
  step: (max: number) => Promise<Step>,
): Promise<void> {
  const { max = Infinity, rate } = flags
  const progress = c.progress('redriven', Math.min(total, max))
  const interrupted = c.terminal.interruption()
  const at_once = rate === undefined ? STEP : Math.max(1, Math.min(STEP, Math.floor(rate / 10)))
  let moved = 0
  let last: Step = { moved: 0, full: false }
  try {
    while (moved < max && !interrupted.aborted) {
      const asked = Math.min(at_once, max - moved)
      const began_ms = c.clock.uptime_ms()
      last = await step(asked)
      moved += last.moved
      progress.show(moved)
      if (last.moved < asked || last.full) break
      if (rate !== undefined && moved < max) await wait(c, interrupted, (asked / rate) * 1000 - (c.clock.uptime_ms() - began_ms))
    }
  } finally {
    progress.end()
  }
  const { homeless = 0, others = 0, full } = last
  await c.show({ moved, homeless, others, full }, () => `redrove ${counted(moved, 'message')}\n`)
  if (others > 0) c.terminal.err(`aqueduct: ${counted(others, 'message')} of other queues stayed in the dead-letter queue.\n`)
  if (homeless > 0)
    throw new Ending(
      FAILED,
      `${counted(homeless, 'message')} stayed: the queue they died in is gone. --to QUEUE says where they shall go.`,
    )
  if (full) throw new Ending(FAILED, 'The rest stayed: what they belong to has no room for them.')
  if (interrupted.aborted) throw new Ending(FAILED, 'Interrupted; the rest stayed.')
}

function wait(c: Context, interrupted: AbortSignal, ms: number): Promise<void> {
  if (ms <= 0 || interrupted.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel()
      interrupted.removeEventListener('abort', end)
      resolve()
    }
    const timer = c.clock.after(ms, end)
    interrupted.addEventListener('abort', end)
  })
}
