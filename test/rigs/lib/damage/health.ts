/** What a broker says of itself over HTTP. */
import { pause } from '../options.js'
import type { Running } from '../target.js'

/** True once it is ready; false when it has ended or the time is over. */
export async function becomesReady(broker: Running, limit_ms: number): Promise<boolean> {
  const end = Date.now() + limit_ms
  while (Date.now() < end && !broker.gone()) {
    // It may be busy with the folder.
    const status = await ask(broker, '/readyz').then(
      (answer) => answer.status,
      () => 0,
    )
    if (status === 200) return true
    await pause(50)
  }
  return false
}

/** '' when it does not answer. */
export async function metricsOf(broker: Running): Promise<string> {
  return ask(broker, '/metrics').then(
    (answer) => answer.text,
    () => '',
  )
}

async function ask(broker: Running, path: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${broker.http_port}${path}`, { signal: AbortSignal.timeout(3000) })
  return { status: answer.status, text: await answer.text() }
}
