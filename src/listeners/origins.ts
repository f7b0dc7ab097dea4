/**
 * Which web pages may speak to us. A browser lets any page connect to any address that its user can reach, this machine's own included, and says in
 * `Origin` where the page came from. Programs that are no browser send none and are taken: they are not steered by a page.
 *
 * A page can also have its own name resolve to this machine (DNS rebinding): it then looks like one of ours, and its `Host` is all that tells. So while
 * we listen on loopback only names of this machine, addresses and listed names count as ours.
 */
import { type Origin, parseOrigin } from '../core/origin.js'

/** True when a page of `origin` may connect to `host`: the two headers of the request, undefined when it has none. */
export type OriginRule = (origin: string | undefined, host: string | undefined) => boolean

/** True when a request with this `Host` header may be meant for us. */
export type HostRule = (host: string | undefined) => boolean

/** Takes pages that came from the address they connect to, pages of this machine, and those in `allowed` (`*`: any). */
export function originRule(allowed: readonly string[], isOurs: HostRule = () => true): OriginRule {
  if (allowed.includes('*')) return () => true
  const listed = new Set(allowed.map((text) => keyOf(parseOrigin(text))))
  return (text, host) => {
    if (text === undefined) return true
    const origin = parseOrigin(text)
    if (origin === undefined) return false
    return listed.has(keyOf(origin)) || (isWeb(origin) && (isLoopback(origin.hostname) || (isOwn(origin, host) && isOurs(host))))
  }
}

/** `listensOn`: the address of our listener. Beyond loopback we do not know our names, and there authentication stands before everything. */
export function hostRule(listensOn: string, allowed: readonly string[]): HostRule {
  if (allowed.includes('*') || !isLoopback(listensOn.includes(':') ? `[${listensOn}]` : listensOn)) return () => true
  const listed = new Set(allowed.map((text) => parseOrigin(text)?.hostname))
  // Nearly every request has the same.
  let last = ''
  return (host) => {
    // HTTP/1.0 has none, and neither has a page.
    if (host === undefined || host === '' || host === last) return true
    const hostname = parseOrigin(`http://${host}`)?.hostname
    if (hostname === undefined || !(isLoopback(hostname) || isAddress(hostname) || listed.has(hostname))) return false
    last = host
    return true
  }
}

const keyOf = (origin: Origin | undefined): string | undefined => origin && `${origin.scheme}://${origin.host}`

const isWeb = ({ scheme }: Origin): boolean => scheme === 'http' || scheme === 'https'

/** The origin's host and port are those of the request. Read with the origin's scheme: behind a proxy we do not know our own. */
function isOwn(origin: Origin, host: string | undefined): boolean {
  return host !== undefined && parseOrigin(`${origin.scheme}://${host}`)?.host === origin.host
}

/** `hostname` in normal form, so that four numbers are an address and no beginning of a name. */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
  )
}

/** An address is nobody's name that could be made to resolve otherwise. */
function isAddress(hostname: string): boolean {
  return hostname.startsWith('[') || /^\d+\.\d+\.\d+\.\d+$/.test(hostname)
}
