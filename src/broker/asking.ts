import type { Meant, Spaces } from './spaces.js'
import type { AskedSubscription } from './subscribing.js'

/** A filter that a hook is being asked about: itself first, then what it means. Refused as soon as one of them is. */
export class Asking {
  /** As it has been granted so far. */
  granted: AskedSubscription | null
  private readonly left: (Meant | null)[] = [null]
  private current: Meant | null = null

  constructor(asked: AskedSubscription) {
    this.granted = asked
  }

  /** What to ask next; undefined when all is answered. */
  next(): AskedSubscription | undefined {
    if (this.granted === null || this.left.length === 0) return undefined
    this.current = this.left.shift() ?? null
    return this.current === null ? this.granted : { ...this.granted, topic: this.current.name }
  }

  take(one: AskedSubscription | null, spaces: Spaces): void {
    const { current, granted } = this
    if (granted === null || one === null || current === null) {
      this.granted = one
      // A QoS that is none refuses, too.
      if (one !== null && one.qos <= 2) this.left.push(...spaces.meansToSubscribe(one.topic))
      return
    }
    const topic = one.topic === current.name ? granted.topic : current.renamed?.(one.topic)
    const qos = one.qos > 2 || one.qos < granted.qos ? one.qos : granted.qos
    this.granted = topic === undefined ? null : { ...one, topic, qos }
    if (qos > 2) this.left.length = 0
  }
}
