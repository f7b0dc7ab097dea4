/**
 * The condition of a rule (`when`): an expression in CEL, the Common Expression Language, checked once and asked for each message.
 *
 * Always true: an expression has no side effects, sees nothing but the facts of one message (`facts.ts`), own properties only, and ends after
 * `CONDITION_STEPS_MAX` steps, all of a message after `MESSAGE_STEPS_MAX` (`cel/work.ts`). There are no regular expressions, loops over lists do not nest,
 * and lists that are looped over have at most `LIST_MAX` elements. Whoever publishes cannot make one slow; what has no answer is not true.
 */
import { type ASTNode, Environment } from '@marcbachmann/cel-js'
import { AqueductError } from '../../core/errors.js'
import { compile, LOOPS, NAMES, type Run } from './cel/evaluate.js'
import { CONDITION_STEPS_MAX, Work, WorkSpent } from './cel/work.js'
import { type Facts, VARIABLES } from './facts.js'

export const CONDITION_CHARACTERS_MAX = 2_048

const LIMITS = { maxAstNodes: 200, maxDepth: 24, maxListElements: 100, maxMapEntries: 32, maxCallArguments: 4 }

const environment = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false, limits: LIMITS })
for (const [name, type] of Object.entries(VARIABLES)) environment.registerVariable(name, type)

/** No answer because there was too much to do. */
export const CUT = 'cut'

export class Condition {
  readonly text: string
  private readonly run: Run

  constructor(text: string, run: Run) {
    this.text = text
    this.run = run
  }

  /**
   * Undefined when there is no answer: a field that is not there, a comparison of unlike things, a payload that is no JSON. `CUT` when it was given up.
   */
  test(facts: Facts): boolean | typeof CUT | undefined {
    const work = new Work(Math.min(CONDITION_STEPS_MAX, facts.steps))
    try {
      const answer = this.run({ work, facts, item: undefined })
      return typeof answer === 'boolean' ? answer : undefined
    } catch (error) {
      return error instanceof WorkSpent ? CUT : undefined
    } finally {
      const done = Math.min(facts.steps, CONDITION_STEPS_MAX) - Math.max(0, work.left)
      facts.steps -= done
      facts.spent += done
    }
  }
}

/** Throws `attribute_invalid` with what is wrong with the expression. */
export function compileCondition(text: unknown): Condition {
  if (typeof text !== 'string' || text.trim() === '' || text.length > CONDITION_CHARACTERS_MAX) {
    throw wrong(text, `an expression of 1 to ${CONDITION_CHARACTERS_MAX} characters is wanted`)
  }
  const parsed = attempt(text, () => environment.parse(text))
  inspect(text, parsed.ast, false)
  const { valid, type, error } = parsed.check()
  if (!valid) throw wrong(text, sentenceOf(error))
  if (type !== 'bool' && type !== 'dyn') throw wrong(text, `it is a ${type}, not true or false`)
  return new Condition(
    text,
    attempt(text, () => compile(parsed.ast)),
  )
}

/** Refuses what is not on the list, and a loop in a loop. */
function inspect(text: string, node: ASTNode, inLoop: boolean): void {
  let looping = inLoop
  if (node.op === 'call' || node.op === 'rcall') {
    const [name] = node.args
    if (!NAMES.has(name)) throw wrong(text, `there is no function ${name} here; there are ${[...NAMES].join(', ')}`)
    if (node.op === 'rcall' && LOOPS.has(name)) {
      if (inLoop) throw wrong(text, `${name} may not stand in another loop`)
      looping = true
    }
  }
  for (const child of nodesIn(node.args)) inspect(text, child, looping)
}

function* nodesIn(args: unknown): Iterable<ASTNode> {
  if (Array.isArray(args)) for (const one of args) yield* nodesIn(one)
  else if (typeof args === 'object' && args !== null && 'op' in args) yield args as ASTNode
}

function attempt<T>(text: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw wrong(text, sentenceOf(error))
  }
}

/** The first line: the others point into the expression. */
function sentenceOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] as string
}

function wrong(text: unknown, what: string): AqueductError {
  const shown = JSON.stringify(text) ?? typeof text
  return new AqueductError(
    'attribute_invalid',
    `when = ${shown.length > 80 ? `${shown.slice(0, 77)}...` : shown}: ${what}. Allowed is a CEL expression that is true or false, such as ` +
      `payload.temperature > 30; its variables are ${Object.keys(VARIABLES).join(', ')}.`,
  )
}
