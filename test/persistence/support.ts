/** The persistence of a running broker without its own wills, so that the whole contract can be asked of it. */
import { createBroker } from '../../src/broker/broker.js'
import { AedesPersistence } from '../../src/broker/persistence.js'
import { systemClock } from '../../src/core/clock.js'
import { silentLog } from '../../src/core/log.js'
import { durableQueues } from '../../src/plugins/durable-queues/index.js'
import { qosRetry } from '../../src/plugins/qos-retry/index.js'
import type { Durability } from '../../src/store/disk.js'
import { openStore } from '../../src/store/store.js'

export async function openPersistence(path: string, durability: Durability): Promise<AedesPersistence> {
  const broker = await createBroker({
    plugins: [durableQueues(), qosRetry()],
    attachStream: () => {},
    clock: systemClock,
    log: silentLog,
  })
  const store = await openStore({ path, durability, min_free_bytes: 0, max_bytes: 0, clock: systemClock, log: silentLog })
  await broker.open(store)
  return new AedesPersistence(broker.state, {
    streamsWills: true,
    async onDestroy() {
      await broker.close()
      await store.close()
    },
  })
}
