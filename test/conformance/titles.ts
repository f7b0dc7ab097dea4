/** The tests that a file has, read from its syntax tree: nothing is run, and a title in a comment is none. */
import ts from 'typescript'

export interface Title {
  /** Titles of the groups and of the test, joined by ` > `, without the clauses at the end. */
  readonly words: string
  /** The clauses, without `MQTT-`. */
  readonly clauses: readonly string[]
}

const CLAUSES = /(?:\s*\[MQTT-[\d.]+-\d+\])+$/
const MAKERS = new Set(['describe', 'it', 'test'])

/** `test`, `it.each(…)`, `describe.skipIf(…)` and the like: which of the three, and whether it is one that does not run. */
function maker(callee: ts.Expression): { name: string; runs: boolean } | undefined {
  let runs = true
  let at = callee
  for (;;) {
    if (ts.isCallExpression(at)) at = at.expression
    else if (ts.isTaggedTemplateExpression(at)) at = at.tag
    else if (ts.isPropertyAccessExpression(at)) {
      if (at.name.text === 'skip' || at.name.text === 'todo' || at.name.text === 'fails') runs = false
      at = at.expression
    } else break
  }
  return ts.isIdentifier(at) && MAKERS.has(at.text) ? { name: at.text, runs } : undefined
}

export function titlesIn(text: string): Title[] {
  const source = ts.createSourceFile('x.test.ts', text, ts.ScriptTarget.ES2022, true)
  const found: Title[] = []
  const visit = (node: ts.Node, groups: readonly string[]): void => {
    let inside = groups
    if (ts.isCallExpression(node)) {
      const made = maker(node.expression)
      const first = node.arguments[0]
      if (made !== undefined && first !== undefined && ts.isStringLiteralLike(first)) {
        if (!made.runs) return
        const words = [...groups, first.text.replace(CLAUSES, '')]
        if (made.name === 'describe') inside = words
        else found.push({ words: words.join(' > '), clauses: clausesOf(first.text) })
      }
    }
    ts.forEachChild(node, (child) => visit(child, inside))
  }
  visit(source, [])
  return found
}

function clausesOf(title: string): string[] {
  const tail = CLAUSES.exec(title)?.[0] ?? ''
  return [...tail.matchAll(/MQTT-([\d.]+-\d+)/g)].map((match) => match[1])
}
