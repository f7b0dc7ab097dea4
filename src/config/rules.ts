/** What must hold between settings, each rule with the sentence that a user reads when it does not. */
import { isIP } from 'node:net'
import { AqueductError } from '../core/errors.js'
import type { Settings } from './schema.js'

/** True when only this machine can reach an address. A name other than `localhost` may be anything, so it counts as open. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase()
  if (name === 'localhost' || name === '::1') return true
  const v4 = name.startsWith('::ffff:') ? name.slice('::ffff:'.length) : name
  return isIP(v4) === 4 && v4.startsWith('127.')
}

/** Throws `bad_setting` for the first rule that `settings` break. */
export function checkRules(settings: Settings): void {
  const { scram_file, scram_required } = settings.auth
  if (scram_required && scram_file === null) {
    throw new AqueductError(
      'bad_setting',
      'auth.scram_required = true and auth.scram_file = "none" would let nobody in. Allowed is true with a users file, or false.',
    )
  }
  for (const door of ['mqtt', 'http'] as const) {
    const { host, port } = settings[door]
    if (port !== 'off' && !isLoopback(host)) {
      throw new AqueductError(
        'bad_setting',
        `${door}.host = ${JSON.stringify(host)} is reachable from other machines and no auth setting makes that safe: ` +
          `${scram_required ? 'auth.scram_required says who connects, but messages travel unprotected' : 'none says who may connect'}. ` +
          `Allowed is a loopback address such as 127.0.0.1, or ${door}.port = "off".`,
      )
    }
  }
}
