/**
 * Where settings come from, weakest first: defaults, the TOML file, the environment, `--set`. The only file beside main.ts and core/
 * that may look at the environment, and it does so through its argument.
 */
import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { AqueductError } from '../core/errors.js'
import { type Entry, entriesOf, type Resolved, resolve, rowsOf } from './resolve.js'
import { checkRules } from './rules.js'
import { type Settings, type SettingsInput, type Table, table } from './schema.js'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Sources {
  /** A TOML file. */
  readonly file?: string | undefined
  readonly env?: Environment | undefined
  /** `KEY=VALUE` texts in the order given. */
  readonly set?: readonly string[] | undefined
}

const PREFIX = 'AQUEDUCT_'
// Kubernetes puts these into every pod when a service is called "aqueduct"; they are not ours and no typing mistake.
const SERVICE_LINK = /^AQUEDUCT_(PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|SERVICE_(HOST|PORT(_[A-Z0-9_]+)?))$/

/** Where the commands find a running server; no setting of one. */
const NO_SETTINGS: ReadonlySet<string> = new Set(['AQUEDUCT_URL'])

/** `store.path` is `AQUEDUCT_STORE_PATH`. */
export const variableOf = (key: string): string => PREFIX + key.toUpperCase().replaceAll('.', '_')

/**
 * The program's settings, frozen, with the origin of each.
 * @throws AqueductError `bad_setting`
 */
export function loadSettings(sources: Sources): Resolved<typeof table> {
  const resolved = loadFrom(table, sources)
  checkRules(resolved.settings)
  return resolved
}

/** Settings for a program that uses Aqueduct as a library, and for tests: nothing is read from outside. */
export function makeSettings(given: SettingsInput = {}): Settings {
  const { settings } = resolve(table, entriesOf(table, given, 'the program'))
  checkRules(settings)
  return settings
}

/** The same for any table, without the rules between settings. */
export function loadFrom<T extends Table>(of: T, { file, env = {}, set = [] }: Sources): Resolved<T> {
  const fromFile = file === undefined ? [] : entriesOf(of, readToml(file), file)
  return resolve(of, [...fromFile, ...fromEnvironment(of, env), ...set.map(fromFlag)])
}

function readToml(file: string): object {
  try {
    return parse(readText(file, 'the settings file'))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = error.message.split('\n')[0]?.replace('Invalid TOML document: ', '')
    throw new AqueductError('bad_setting', `${file}, line ${error.line}, column ${error.column}: ${reason}. Allowed is TOML.`, {
      cause: error,
    })
  }
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new AqueductError('bad_setting', `${what} ${JSON.stringify(file)} cannot be read: ${String(error)}`, { cause: error })
  }
}

/** An empty variable counts as not set, because that is how many tools unset one. */
function fromEnvironment(of: Table, env: Environment): Entry[] {
  const keys = new Map<string, string>()
  const files = new Map<string, string>()
  for (const { key, setting } of rowsOf(of)) {
    keys.set(variableOf(key), key)
    if (setting.secret) files.set(`${variableOf(key)}_FILE`, key)
  }
  return Object.entries(env).flatMap(([origin, value]): Entry[] => {
    if (!origin.startsWith(PREFIX) || value === undefined || value === '' || NO_SETTINGS.has(origin)) return []
    const fileOf = files.get(origin)
    if (fileOf !== undefined) {
      if (env[variableOf(fileOf)]) {
        throw new AqueductError('bad_setting', `${origin} and ${variableOf(fileOf)} are both set. Allowed is one of them.`)
      }
      return [{ key: fileOf, value: readText(value, `the file of ${origin},`).replace(/\r?\n$/, ''), raw: true, origin }]
    }
    const key = keys.get(origin)
    if (key === undefined && SERVICE_LINK.test(origin)) return []
    // An unknown name goes on as a key, so that the refusal can name the nearest one.
    return [{ key: key ?? unknownKeyOf(of, origin), value, raw: true, origin }]
  })
}

/** `AQUEDUCT_MQTT_PRT` as `mqtt.prt`: the first part is taken for the section where one is called so. */
function unknownKeyOf(of: Table, variable: string): string {
  const words = variable.slice(PREFIX.length).toLowerCase()
  const section = Object.keys(of).find((name) => words.startsWith(`${name}_`))
  return section === undefined ? words : `${section}.${words.slice(section.length + 1)}`
}

function fromFlag(text: string): Entry {
  const at = text.indexOf('=')
  if (at < 1) {
    throw new AqueductError(
      'bad_setting',
      `--set ${JSON.stringify(text)} has no value. Allowed is KEY=VALUE, such as mqtt.port=1884.`,
    )
  }
  return { key: text.slice(0, at).trim(), value: text.slice(at + 1), raw: true, origin: '--set' }
}
