/**
 * Rules that subscriptions made (`$queue/{name}/{filter}`): how many there are, and whose. Rules stay when the subscription ends, so they are counted by the
 * client that asked first.
 */
import { AqueductError } from '../../core/errors.js'
import type { CountedLimit } from '../../core/refusals.js'

export interface MadeRuleLimits {
  /** Of all clients together, and of one. */
  readonly max_auto_rules: number
  readonly max_client_rules: number
}

export class MadeRules {
  private readonly limits: MadeRuleLimits
  private readonly makers = new Map<string, string>()
  private readonly counts = new Map<string, number>()

  constructor(limits: MadeRuleLimits) {
    this.limits = limits
  }

  clear(): void {
    this.makers.clear()
    this.counts.clear()
  }

  /** Throws `limit_reached` when `client` may not make one more; `refused` is told of the limit. */
  check(client: string, refused: (limit: CountedLimit) => void): void {
    const { max_auto_rules, max_client_rules } = this.limits
    const limit =
      this.makers.size >= max_auto_rules
        ? 'bridge.max_auto_rules'
        : (this.counts.get(client) ?? 0) >= max_client_rules
          ? 'bridge.max_client_rules'
          : undefined
    if (limit === undefined) return
    refused(limit)
    throw new AqueductError('limit_reached', `Subscriptions have made as many rules as ${limit} allows.`)
  }

  add(rule: string, client: string): void {
    this.delete(rule)
    this.makers.set(rule, client)
    this.counts.set(client, (this.counts.get(client) ?? 0) + 1)
  }

  delete(rule: string): void {
    const client = this.makers.get(rule)
    if (client === undefined) return
    this.makers.delete(rule)
    const left = (this.counts.get(client) ?? 1) - 1
    if (left === 0) this.counts.delete(client)
    else this.counts.set(client, left)
  }

  has(rule: string): boolean {
    return this.makers.has(rule)
  }
}
