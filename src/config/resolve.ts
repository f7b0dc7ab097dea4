/**
 * From layers of given values to one complete, frozen set of settings. Pure: no file, no environment.
 *
 * Always true: every row of the table has a value that its kind accepted, a later layer wins over an earlier one, and each value
 * is checked, also one that a later layer replaces.
 */
import { AqueductError } from '../core/errors.js'
import { nearest } from '../core/nearest.js'
import { Setting, type Table, type Values } from './schema.js'

/** One row with its full key. */
export interface Row {
  readonly key: string
  readonly path: readonly string[]
  readonly setting: Setting<unknown>
}

/** A value that somebody gave. `raw`: as text, to be read as the key's type says. */
export interface Entry {
  readonly key: string
  readonly value: unknown
  readonly raw: boolean
  /** Where it came from, in the user's words: `--set`, `AQUEDUCT_MQTT_PORT`, `/etc/aqueduct.toml`. */
  readonly origin: string
}

export interface Resolved<T extends Table> {
  readonly settings: Values<T>
  /** Key to origin, `default` included. */
  readonly origins: ReadonlyMap<string, string>
}

/** All rows of a table in its order. */
export function rowsOf(table: Table, above: readonly string[] = []): Row[] {
  return Object.entries(table).flatMap(([name, node]) => {
    const path = [...above, name]
    return node instanceof Setting ? [{ key: path.join('.'), path, setting: node }] : rowsOf(node, path)
  })
}

/** Flattens nested values, such as a parsed TOML file, to entries. A row's own value is never looked into. */
export function entriesOf(table: Table, values: object, origin: string, above = ''): Entry[] {
  return Object.entries(values).flatMap(([name, value]: [string, unknown]) => {
    const key = above + name
    const node = Object.hasOwn(table, name) ? table[name] : undefined
    if (node === undefined || node instanceof Setting) return [{ key, value, raw: false, origin }]
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notATable(key, value, node, origin)
    return entriesOf(node, value, origin, `${key}.`)
  })
}

/**
 * Puts `entries`, weakest first, over the defaults of `table`.
 * @throws AqueductError `bad_setting`, naming key, value, origin, what is allowed and, for an unknown key, the nearest known one.
 */
export function resolve<T extends Table>(table: T, entries: readonly Entry[]): Resolved<T> {
  const rows = rowsOf(table)
  const known = new Map(rows.map((row) => [row.key, row.setting]))
  const values = new Map(rows.map((row) => [row.key, row.setting.default]))
  const origins = new Map(rows.map((row) => [row.key, 'default']))
  for (const entry of entries) {
    const setting = known.get(entry.key)
    if (setting === undefined) throw unknownKey(entry, known)
    const value = setting.kind.accept(entry.raw ? setting.kind.read(String(entry.value)) : entry.value)
    if (value === undefined) throw badValue(entry, setting)
    values.set(entry.key, value)
    origins.set(entry.key, entry.origin)
  }
  return { settings: nest(table, values) as Values<T>, origins }
}

function nest(table: Table, values: ReadonlyMap<string, unknown>, above = ''): object {
  const nested = Object.entries(table).map(([name, node]) => {
    const key = above + name
    return [name, node instanceof Setting ? values.get(key) : nest(node, values, `${key}.`)] as const
  })
  return Object.freeze(Object.fromEntries(nested))
}

/** A value in a message: short, on one line. */
function shown(value: unknown): string {
  const text =
    typeof value === 'bigint' || value === undefined || value === Infinity ? String(value) : (JSON.stringify(value) ?? '')
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

function badValue({ key, value, origin }: Entry, setting: Setting<unknown>): AqueductError {
  const given = setting.secret ? '(hidden)' : shown(value)
  return new AqueductError(
    'bad_setting',
    `${key} = ${given} (from ${origin}) is not allowed. Allowed is ${setting.kind.allowed}.`,
  )
}

function unknownKey({ key, value, origin }: Entry, known: ReadonlyMap<string, Setting<unknown>>): AqueductError {
  const meant = nearest(key, [...known.keys()])
  const setting = meant === undefined ? undefined : known.get(meant)
  // The value is left out when the key that was meant holds a secret.
  const given = setting?.secret ? '' : ` = ${shown(value)}`
  const hint = setting === undefined ? '' : ` The nearest known key is ${meant}; allowed there is ${setting.kind.allowed}.`
  return new AqueductError('bad_setting', `${key}${given} (from ${origin}): there is no such setting.${hint}`)
}

function notATable(key: string, value: unknown, node: Table, origin: string): AqueductError {
  const keys = rowsOf(node, [key]).map((row) => row.key)
  return new AqueductError(
    'bad_setting',
    `${key} = ${shown(value)} (from ${origin}) is not allowed: ${key} is a group of settings. Known keys are ${keys.join(', ')}.`,
  )
}
