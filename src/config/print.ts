/** Settings as text: the effective ones for `aqueduct config`, and the two generated pages in `config/`. */
import { variableOf } from './load.js'
import { type Row, rowsOf } from './resolve.js'
import type { Table } from './schema.js'

const LINE_MAX = 100
const nameOf = (row: Row): string => row.path[row.path.length - 1] ?? row.key
const sectionOf = (row: Row): string => row.path.slice(0, -1).join('.')

/** Rows in the order of the table, gathered by section. */
function bySection(of: Table): Map<string, Row[]> {
  const sections = new Map<string, Row[]>()
  for (const row of rowsOf(of)) {
    const rows = sections.get(sectionOf(row))
    if (rows === undefined) sections.set(sectionOf(row), [row])
    else rows.push(row)
  }
  return sections
}

/** Breaks `text` between words into lines of at most `LINE_MAX`, each begun with `start`. */
function wrapped(text: string, start: string): string[] {
  const lines: string[] = []
  let line = start
  for (const word of text.split(' ')) {
    if (line.length > start.length && line.length + 1 + word.length > LINE_MAX) {
      lines.push(line)
      line = start
    }
    line += line.length > start.length ? ` ${word}` : word
  }
  return [...lines, line]
}

function valueAt(settings: object, path: readonly string[]): unknown {
  let value: unknown = settings
  for (const name of path) value = (value as Record<string, unknown>)[name]
  return value
}

/** The effective settings as TOML that can be used as a settings file; what is not a default says where it came from. */
export function effectiveToml(of: Table, settings: object, origins: ReadonlyMap<string, string>): string {
  const sections = [...bySection(of)].map(([section, rows]) => {
    const lines = rows.map((row) => {
      const { kind, secret } = row.setting
      const value = valueAt(settings, row.path)
      const origin = origins.get(row.key) ?? 'default'
      if (secret) return `# ${nameOf(row)} is ${origin === 'default' ? 'not set' : `set, from ${origin}`}; it is not printed`
      return `${nameOf(row)} = ${kind.literal(value)}${origin === 'default' ? '' : `  # from ${origin}`}`
    })
    return `[${section}]\n${lines.join('\n')}\n`
  })
  return sections.join('\n')
}

/** `config/aqueduct.example.toml`: every setting with its sentence, commented out at its default. */
export function exampleToml(of: Table): string {
  const sections = [...bySection(of)].map(([section, rows]) => {
    const parts = rows.map((row) => {
      const { kind, text } = row.setting
      const comment = wrapped(`${text} Allowed: ${kind.allowed}.`, '# ')
      return `${comment.join('\n')}\n#${nameOf(row)} = ${kind.literal(row.setting.default)}\n`
    })
    return `[${section}]\n\n${parts.join('\n')}`
  })
  return `# Every setting of Aqueduct at its default. Made by \`npm run docs\`; do not edit.
# Copy it, take the # away from what you change, and start with: aqueduct serve --config FILE

${sections.join('\n')}`
}

/** `config/reference.md`. */
export function referencePage(of: Table): string {
  const sections = [...bySection(of)].map(([section, rows]) => {
    const parts = rows.map((row) => {
      const { kind, unit, text, secret } = row.setting
      const facts = [
        `- Allowed: ${kind.allowed}.`,
        ...(unit === '' ? [] : [`- Unit: ${unit}.`]),
        `- Default: \`${kind.literal(row.setting.default)}\`.`,
        `- Environment: \`${variableOf(row.key)}\`${secret ? `, or \`${variableOf(row.key)}_FILE\` with the name of a file` : ''}.`,
      ]
      return `### \`${row.key}\`\n\n${wrapped(text, '').join('\n')}\n\n${facts.join('\n')}\n`
    })
    return `## ${section}\n\n${parts.join('\n')}`
  })
  return `# Settings

Made from \`src/config/schema.ts\` by \`npm run docs\`; do not edit.

Four places give a setting its value; a later one wins:

1. the default given here;
2. a TOML file: \`aqueduct serve --config FILE\` (\`aqueduct.example.toml\` shows every key);
3. the environment: \`AQUEDUCT_\`, then the key in capitals with \`_\` for the dot. An empty variable counts as not set;
4. \`--set KEY=VALUE\`, as often as you like; of two for the same key the last wins.

In the environment and after \`--set\` a value is plain text, read as the key's type says; lists are JSON. An unknown key or a value
that is not allowed stops the program before it opens anything, with exit code 2. \`aqueduct config\` prints what is in effect and
where it came from.

${sections.join('\n')}`
}
