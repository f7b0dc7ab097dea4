/** test/conformance/README.md as text, made from the lists of statements. */
import type { Standard, Statement } from './statement.js'

const INTRO = `# What the standards ask, and which test shows it

Every numbered normative statement of MQTT 3.1.1 and MQTT 5.0 (Appendix B of each) in one line of our own words, whom it binds, and the tests that
show it. A statement without a test has the reason. \`table.test.ts\` fails when a test that is named here is gone or
renamed, when a statement has neither test nor reason, and when this page is not what \`npm run docs\` makes.

The words here are a reminder; what holds is the standard. Tests are named by their titles, without the clauses behind them.
`

/** Characters that Markdown or its tables would take for their own. */
function plain(text: string): string {
  return text.replaceAll(/[|<>*_`\\[\]]/g, (mark) => `\\${mark}`)
}

function shownBy({ tests, reason }: Statement): string {
  if (tests.length === 0) return `*${plain(reason)}*`
  return tests.map(({ file, title }) => `[${short(file)}](${link(file)}): ${plain(title)}`).join('<br>')
}

function short(file: string): string {
  return file.replace(/^test\//, '').replace(/\.test\.ts$/, '')
}

function link(file: string): string {
  return file.startsWith('test/conformance/') ? file.slice('test/conformance/'.length) : `../${file.slice('test/'.length)}`
}

/** Statements, those that bind a server, and how many of these have tests and reasons. */
export function counts({ statements }: Standard): { all: number; binding: number; tested: number; reasons: number } {
  const binding = statements.filter(({ who }) => who !== 'client')
  const tested = binding.filter(({ tests }) => tests.length > 0).length
  return { all: statements.length, binding: binding.length, tested, reasons: binding.length - tested }
}

const BINDS = { server: 'server', client: 'client', both: 'both' } as const

function section(standard: Standard): string {
  const rows = standard.statements.map((s) => `| ${s.id} | ${BINDS[s.who]} | ${plain(s.says)} | ${shownBy(s)} |`)
  return `\n## ${standard.name}\n\n| MQTT- | binds | statement | shown by |\n|---|---|---|---|\n${rows.join('\n')}\n`
}

export function conformancePage(standards: readonly Standard[]): string {
  const head = standards.map((standard) => {
    const { all, binding, tested, reasons } = counts(standard)
    return `| [${standard.name}](${standard.url}) | ${all} | ${binding} | ${tested} | ${reasons} |`
  })
  return `${INTRO}
| standard | statements | bind a server | shown by tests | by a reason only |
|---|---|---|---|---|
${head.join('\n')}
${standards.map(section).join('')}`
}
