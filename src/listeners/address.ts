/** How addresses are written in logs, in `Transport.remote` and in listener lines. */

/** `127.0.0.1:1883`, `[::1]:1883`; `unknown` when the peer was gone before it could be asked. */
export function formatAddress(host: string | undefined, port: number | undefined): string {
  if (host === undefined || host === '') return 'unknown'
  const plain = host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host
  return plain.includes(':') ? `[${plain}]:${port ?? 0}` : `${plain}:${port ?? 0}`
}
