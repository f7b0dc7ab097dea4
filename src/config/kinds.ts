/**
 * The types that a setting can have. A kind says what is allowed, takes a typed value (from a TOML file or a program) or raw text
 * (from a flag or an environment variable), and writes a value back as TOML.
 *
 * Always true: whatever `accept` returned is accepted again, and `literal` of it, parsed as TOML, is the same value.
 */
export interface Kind<T> {
  /** What is allowed, as the end of the sentence "Allowed is …". */
  readonly allowed: string
  /** The value in its final form, or undefined when it is not allowed. */
  accept(value: unknown): T | undefined
  /** Raw text to a value for `accept`; returns the text itself where it makes no sense as this kind. */
  read(text: string): unknown
  /** The value as TOML writes it. */
  literal(value: T): string
}

const asIs = (text: string): string => text
const quoted = (value: string): string => JSON.stringify(value)

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
}

const readWhole = (text: string): unknown => (/^\s*-?\d+\s*$/.test(text) ? Number(text) : text)

/** A whole number, `min` ≤ n ≤ `max`. */
export function whole(min: number, max: number): Kind<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    accept: (value) => (isWhole(value, min, max) ? value : undefined),
    read: readWhole,
    literal: String,
  }
}

/** One of a few words. */
export function choice<const V extends string>(...words: readonly V[]): Kind<V> {
  return {
    allowed: `one of ${words.join(', ')}`,
    accept: (value) => words.find((word) => word === value),
    read: asIs,
    literal: quoted,
  }
}

/** A TCP port: 0 lets the system pick a free one, `off` opens none. */
export const port: Kind<number | 'off'> = {
  allowed: 'a whole number from 0 to 65535 (0 picks a free port), or "off"',
  accept: (value) => (value === 'off' || isWhole(value, 0, 65_535) ? value : undefined),
  read: readWhole,
  literal: (value) => (value === 'off' ? quoted(value) : String(value)),
}

const SIZE = /^\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?\s*$/i
const SCALE: Readonly<Record<string, number>> = { b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3, tib: 1024 ** 4 }

function readSize(text: string): unknown {
  const found = SIZE.exec(text)
  if (found === null) return text
  return Number(found[1]) * (SCALE[(found[2] ?? 'B').toLowerCase()] ?? Number.NaN)
}

/** A byte count as people say it: `128 MiB`; the plain number where it is not a round one. */
function sizeText(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const scale = SCALE[unit.toLowerCase()] ?? 1
    if (bytes >= scale && bytes % scale === 0) return `${bytes / scale} ${unit}`
  }
  return String(bytes)
}

/** Bytes: a whole number, or text such as `128 MiB`. */
export function size(min: number, max: number): Kind<number> {
  return {
    allowed: `a number of bytes from ${sizeText(min)} to ${sizeText(max)}, such as 1048576 or "1 MiB"`,
    accept(value) {
      const bytes = typeof value === 'string' ? readSize(value) : value
      return isWhole(bytes, min, max) ? bytes : undefined
    },
    read: readSize,
    literal: (bytes) => (Number.isNaN(Number(sizeText(bytes))) ? quoted(sizeText(bytes)) : String(bytes)),
  }
}

/** Bytes, or `none`: no limit, which is `Infinity` in the program, so that it can be compared without a special case. */
export function sizeOrNone(min: number, max: number): Kind<number> {
  const bytes = size(min, max)
  return {
    allowed: `${bytes.allowed}, or "none"`,
    accept: (value) => (value === 'none' || value === Infinity ? Infinity : bytes.accept(value)),
    read: (text) => (text === 'none' ? text : bytes.read(text)),
    literal: (value) => (value === Infinity ? quoted('none') : bytes.literal(value)),
  }
}

/** A file or folder name. Relative names are relative to the folder that the program was started in. */
export const path: Kind<string> = {
  allowed: 'a path that is not empty',
  accept: (value) => (typeof value === 'string' && value.trim() !== '' && !value.includes('\0') ? value : undefined),
  read: asIs,
  literal: quoted,
}

/** The same, or `none`, which is null in the program. */
export const pathOrNone: Kind<string | null> = {
  allowed: `${path.allowed}, or "none"`,
  accept: (value) => (value === null || value === 'none' ? null : path.accept(value)),
  read: asIs,
  literal: (value) => quoted(value ?? 'none'),
}

/** Yes or no. */
export const yesNo: Kind<boolean> = {
  allowed: 'true or false',
  accept: (value) => (typeof value === 'boolean' ? value : undefined),
  read: (text) => (text === 'true' ? true : text === 'false' ? false : text),
  literal: String,
}

/** A host name or an IP address to listen on. */
export const host: Kind<string> = {
  allowed: 'a host name or an IP address, such as 127.0.0.1',
  accept: (value) => (typeof value === 'string' && /^[A-Za-z0-9._:%-]{1,255}$/.test(value) ? value : undefined),
  read: asIs,
  literal: quoted,
}

/** Text that passes `check`, or none; `what` names it. */
export function textOrNone(what: string, check: (text: string) => boolean): Kind<string> {
  return {
    allowed: `${what}, or "" for none`,
    accept: (value) => (typeof value === 'string' && (value === '' || check(value)) ? value : undefined),
    read: asIs,
    literal: quoted,
  }
}

/** A list whose members all pass `check`; `what` names them in the plural. As raw text it is a JSON list. */
export function listOf(what: string, example: string, check: (member: string) => boolean): Kind<readonly string[]> {
  return {
    allowed: `a list of ${what}, such as ${JSON.stringify([example])}`,
    accept(value) {
      if (!Array.isArray(value)) return undefined
      const members: readonly unknown[] = value
      return members.every((member): member is string => typeof member === 'string' && check(member))
        ? Object.freeze([...members])
        : undefined
    },
    read: readJson,
    literal: (value) => `[${value.map(quoted).join(', ')}]`,
  }
}

/** A table of plain values: text, numbers, true and false. */
export type Plain = Readonly<Record<string, string | number | boolean>>

/** A list of tables (`[[section.name]]` in TOML); what is in them is checked by whoever uses them. As raw text it is a JSON list of objects. */
export function tablesOf(what: string, example: Plain): Kind<readonly Plain[]> {
  return {
    allowed: `a list of ${what}, such as [${inlineTable(example)}]`,
    accept(value) {
      if (!Array.isArray(value)) return undefined
      const members: readonly unknown[] = value
      return members.every(isPlain) ? Object.freeze(members.map((member) => Object.freeze({ ...member }))) : undefined
    },
    read: readJson,
    literal: (value) => `[${value.map(inlineTable).join(', ')}]`,
  }
}

function isPlain(value: unknown): value is Plain {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every((v) => typeof v === 'string' || typeof v === 'boolean' || Number.isFinite(v))
}

function inlineTable(of: Plain): string {
  const pairs = Object.entries(of).map(([name, value]) => {
    return `${/^[\w-]+$/.test(name) ? name : quoted(name)} = ${typeof value === 'string' ? quoted(value) : value}`
  })
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`
}

/** A table of names, each with one of a few words. As raw text it is a JSON object. */
export function tableOf<const V extends string>(
  what: string,
  example: string,
  words: readonly V[],
): Kind<Readonly<Record<string, V>>> {
  return {
    allowed: `a table of ${what}, each ${words.join(', ')}, such as ${example}`,
    accept(value) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
      const pairs: [string, V][] = []
      for (const [name, given] of Object.entries(value)) {
        const word = words.find((one) => one === given)
        if (name === '' || word === undefined) return undefined
        pairs.push([name, word])
      }
      return Object.freeze(Object.fromEntries(pairs))
    },
    read: readJson,
    literal: inlineTable,
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
