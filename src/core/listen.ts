/** What all listeners say alike: how an address is written, and why a port could not be opened. */
import { AqueductError } from './errors.js'

/** `127.0.0.1:1883`, `[::1]:1883`; `unknown` when the peer was gone before it could be asked. */
export function formatAddress(host: string | undefined, port: number | undefined): string {
  if (host === undefined || host === '') return 'unknown'
  const plain = host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host
  return plain.includes(':') ? `[${plain}]:${port ?? 0}` : `${plain}:${port ?? 0}`
}

/**
 * The `port_in_use` for a listener that did not open. `setting` is the key of its port; the host's key is the same with `host` at
 * the end. An error that did not come from the system is `internal`: no setting would mend it.
 */
export function cannotListen(host: string, port: number, setting: string, error: NodeJS.ErrnoException): AqueductError {
  const where = formatAddress(host, port)
  const { code, syscall } = error
  if (code === undefined || syscall === undefined) {
    return new AqueductError('internal', `cannot listen on ${where}: ${error.message}`, { cause: error })
  }
  const sentence =
    code === 'EADDRINUSE'
      ? `the port is in use. Stop what uses it, or set ${setting} to another port (0 picks a free one)`
      : code === 'EACCES'
        ? `this user may not open that port. Set ${setting} to 1024 or above`
        : `${code}. Set ${setting.replace(/port$/, 'host')} to an address of this machine`
  return new AqueductError('port_in_use', `cannot listen on ${where}: ${sentence}`, { cause: error })
}
