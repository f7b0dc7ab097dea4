/** What a web origin is (RFC 6454): for the setting that lists some and for the listener that is told one. */

export interface Origin {
  /** In lower case, without the colon. */
  readonly scheme: string
  /** Host and port in normal form, in lower case; the scheme's own port is left out: `dash.example`, `[::1]:3000`. */
  readonly host: string
  /** The host alone. */
  readonly hostname: string
}

const SHAPE = /^([a-z][a-z0-9+.-]*):\/\/([^\s/\\?#@*]+)$/i

/** Reads `scheme://host` or `scheme://host:port`, nothing behind it; undefined for anything else, `null` among it. */
export function parseOrigin(text: string): Origin | undefined {
  const [, scheme, host] = SHAPE.exec(text)?.map((part) => part.toLowerCase()) ?? []
  if (scheme === undefined || host === undefined) return undefined
  // Only these have a normal form; applications and browser extensions have schemes and opaque names of their own.
  if (scheme !== 'http' && scheme !== 'https') return { scheme, host, hostname: host.replace(/:\d+$/, '') }
  try {
    const url = new URL(`${scheme}://${host}`)
    return { scheme, host: url.host, hostname: url.hostname }
  } catch {
    return undefined
  }
}
