/** Aedes's persistence contract on our store. */
import type { BrokerState } from './state.js'

export class AedesPersistence {
  readonly state: BrokerState
  constructor(state: BrokerState) {
    this.state = state
  }

  async setup(): Promise<void> {}
}
