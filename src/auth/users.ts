/**
 * A list of users as a file holds it: one `name:SCRAM-SHA-256$…` a line, empty lines and lines that begin with `#` left out. It is read whole or not at
 * all: a list with a line that nobody understands would lock somebody out in silence.
 */
import { isUtf8 } from 'node:buffer'
import { setImmediate as turn } from 'node:timers/promises'
import { type Credential, readCredential, SCRAM_SHA_256 } from './credential.js'
import { defaultLooks, type Looks } from './decoys.js'
import { prepare } from './prepare.js'

/** Bytes of a name; MQTT could carry 65,535 of them. */
export const NAME_BYTES_MAX = 512
/** Lines that are read before others get their turn. */
const LINES_PER_TURN = 500
const BOM = Buffer.of(0xef, 0xbb, 0xbf)

export class Users {
  /** Name to credential as text, which takes a third of what is in it. */
  private readonly credentials = new Map<string, string>()
  private readonly looksCounts = new Map<string, number>()
  /** How most of them look. */
  looks: Looks = defaultLooks

  get size(): number {
    return this.credentials.size
  }

  of(name: string): Credential | undefined {
    const text = this.credentials.get(name)
    const credential = text === undefined ? undefined : readCredential(text)
    return typeof credential === 'object' ? credential : undefined
  }

  /** What is wrong with `line`, if anything. */
  add(line: string): string | undefined {
    // The last one: a name may hold anything, a credential has no room for it.
    const at = line.lastIndexOf(`:${SCRAM_SHA_256}$`)
    if (at < 0) return 'it is not <name>:SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>'
    const name = line.slice(0, at)
    const wrong = nameFault(name)
    if (wrong !== undefined) return wrong
    const text = line.slice(at + 1)
    const credential = readCredential(text)
    if (typeof credential === 'string') return `the credential of ${JSON.stringify(name)}: ${credential}`
    const prepared = prepare(name) ?? name
    if (this.credentials.has(prepared)) return `${JSON.stringify(name)} is there twice`
    this.credentials.set(prepared, text)
    this.count(credential)
    return undefined
  }

  private count({ iterations, salt }: Credential): void {
    const looks = { iterations, saltBytes: salt.length }
    const key = `${iterations} ${salt.length}`
    const count = (this.looksCounts.get(key) ?? 0) + 1
    this.looksCounts.set(key, count)
    if (count > (this.looksCounts.get(`${this.looks.iterations} ${this.looks.saltBytes}`) ?? 0)) this.looks = looks
  }
}

/** What is wrong with a name that stands in such a list; undefined: nothing. */
export function nameFault(name: string): string | undefined {
  const prepared = prepare(name)
  if (prepared === undefined) return 'a name is empty or holds control characters'
  if (Buffer.byteLength(prepared) > NAME_BYTES_MAX) return `a name has more than ${NAME_BYTES_MAX} bytes`
  // Also when only the prepared form does: that is what stands in the file.
  if (/^[# ]| $/.test(prepared)) return 'a name begins with # or a space, or ends with a space'
  return undefined
}

/** Reads the bytes of a file. A string says which line is wrong, and how. */
export async function readUsers(bytes: Buffer): Promise<Users | string> {
  const users = new Users()
  let at = bytes.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0
  for (let line = 1; at < bytes.length; line++) {
    const found = bytes.indexOf(0x0a, at)
    const end = found < 0 ? bytes.length : found
    const wrong = addLine(users, bytes.subarray(at, end > at && bytes[end - 1] === 0x0d ? end - 1 : end))
    if (wrong !== undefined) return `line ${line}: ${wrong}`
    at = end + 1
    if (line % LINES_PER_TURN === 0) await turn()
  }
  return users
}

function addLine(users: Users, bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return 'it is not UTF-8'
  const line = bytes.toString('utf8')
  return line.trim() === '' || line.startsWith('#') ? undefined : users.add(line)
}
