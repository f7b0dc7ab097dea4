/** The JSON API over a broker whose time stands still and whose disk can be cut. */
import { systemClock } from '../../src/core/clock.js'
import { silentLog } from '../../src/core/log.js'
import { apiDoor } from '../../src/http/api/index.js'
import { startHttp } from '../../src/http/server.js'
import { createMetrics } from '../../src/metrics/metrics.js'
import { createOperations, type Operations } from '../../src/operations/operations.js'
import { ApiClient } from './api-client.js'
import { type ClockedBroker, type ClockedOptions, startClocked } from './broker.js'

export interface ClockedApi extends ClockedBroker {
  readonly api: ApiClient
  readonly operations: Operations
}

/** `earlier`: take up from its disk and clock, after its `close` or `die`. */
export async function startClockedApi(o: ClockedOptions = {}, earlier?: ClockedApi): Promise<ClockedApi> {
  const clocked = await startClocked(earlier === undefined ? o : { ...o, after: earlier.disk, clock: earlier.clock })
  const operations = createOperations(clocked.broker)
  const http = await startHttp({
    host: '127.0.0.1',
    port: 0,
    readiness: () => ({ ready: true }),
    metrics: createMetrics({}, systemClock),
    doors: [
      apiDoor({
        operations,
        max_body_bytes: 16 * 1024 * 1024,
        guard: { mayAsk: () => true },
        version: '0',
      }),
    ],
    drain_ms: 50,
    clock: systemClock,
    log: silentLog,
  })
  return {
    ...clocked,
    operations,
    api: new ApiClient(http.port, earlier === undefined ? undefined : await earlier.api.openApi()),
    async close() {
      await http.close()
      await clocked.close()
    },
    async die(applied) {
      await clocked.die(applied)
      await http.close()
    },
  }
}
