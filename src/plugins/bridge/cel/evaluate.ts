/**
 * Turns a checked expression into functions that work it out, step by counted step.
 *
 * The library reads and checks expressions; it does not evaluate them for us, since it bounds nothing there: one regular expression of it is cubic, its
 * searches are quadratic, and it keeps a type for every shape of value that it ever met. The tests compare the answers.
 */
import type { ASTNode } from '@marcbachmann/cel-js'
import { calculate, negative, type Sign } from './arithmetic.js'
import { FUNCTIONS, METHODS, optional } from './functions.js'
import { ABSENT, compare, equal, keysOf, kindOf, memberOf, Optional, TYPES } from './values.js'
import { none, type Work } from './work.js'

/** Elements of a list that an expression may loop over. */
export const LIST_MAX = 1_000

/** What an expression is worked out with. */
export interface Scope {
  readonly work: Work
  /** The facts, by the names of `VARIABLES`. */
  readonly facts: object
  /** What the loop that is under way is at; loops do not nest. */
  item: unknown
}

export type Run = (scope: Scope) => unknown

type Step = (scope: Scope) => unknown

/** Macros that look at their operands themselves. */
const MACROS: Readonly<Record<string, (receiver: ASTNode, args: readonly ASTNode[], item: string | undefined) => Step>> = {
  all: (list, args) => loop(list, args, quantifier(false)),
  exists: (list, args) => loop(list, args, quantifier(true)),
  exists_one: (list, args) => loop(list, args, exactlyOne),
  or: (maybe, [other], item) => fallback(maybe, other as ASTNode, item, false),
  orValue: (maybe, [other], item) => fallback(maybe, other as ASTNode, item, true),
}

export const LOOPS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one'])
/** Everything that may stand before a parenthesis. */
export const NAMES: ReadonlySet<string> = new Set([
  'has',
  ...Object.keys(FUNCTIONS),
  ...Object.keys(METHODS),
  ...Object.keys(MACROS),
])

/** `google.protobuf.Duration` and its like are names of types. */
const CONSTANTS: Readonly<Record<string, unknown>> = {
  ...TYPES,
  google: { protobuf: { Duration: TYPES.duration, Timestamp: TYPES.timestamp } },
}

/** `node` passed the library's check, has no loop in a loop and no function beyond `NAMES`. Throws for what is no part of an expression here. */
export function compile(node: ASTNode): Run {
  return stepOf(node, undefined)
}

/** `item` is the name of the element while the loop goes round. */
function stepOf(node: ASTNode, item: string | undefined): Step {
  const run = plainStepOf(node, item)
  return (scope) => {
    scope.work.charge(1)
    return run(scope)
  }
}

function plainStepOf(node: ASTNode, item: string | undefined): Step {
  switch (node.op) {
    case 'value': {
      const value: unknown = node.args
      return () => value
    }
    case 'id':
      return nameStep(node.args, item)
    case '.':
    case '[]':
      return accessStep(node.args[0], keyStep(node.args[1], item), item)
    case '.?':
    case '[?]':
      return optionalAccess(stepOf(node.args[0], item), keyStep(node.args[1], item))
    case 'call':
      return node.args[0] === 'has'
        ? hasStep(node.args[1][0] as ASTNode, item)
        : callStep(FUNCTIONS, node.args[0], node.args[1], item)
    case 'rcall': {
      const [name, receiver, args] = node.args
      const macro = Object.hasOwn(MACROS, name) ? MACROS[name] : undefined
      return macro === undefined ? callStep(METHODS, name, [receiver, ...args], item) : macro(receiver, args, item)
    }
    case 'list': {
      const elements = node.args.map((one) => stepOf(one, item))
      return (scope) => elements.map((one) => one(scope))
    }
    case 'map': {
      const entries = node.args.map(([k, v]) => [stepOf(k, item), stepOf(v, item)] as const)
      return (scope) => new Map(entries.map(([k, v]) => [keyOf(k(scope)), v(scope)]))
    }
    case '?:': {
      const [condition, yes, no] = node.args.map((one) => stepOf(one, item)) as [Step, Step, Step]
      return (scope) => (truth(condition(scope)) ? yes(scope) : no(scope))
    }
    case '||':
    case '&&':
      return logical(node.op === '||', stepOf(node.args[0], item), stepOf(node.args[1], item))
    case '!_': {
      const operand = stepOf(node.args, item)
      return (scope) => !truth(operand(scope))
    }
    case '-_': {
      const operand = stepOf(node.args, item)
      return (scope) => negative(operand(scope))
    }
    default:
      return binary(node.op, stepOf(node.args[0], item), stepOf(node.args[1], item))
  }
}

function truth(v: unknown): boolean {
  return typeof v === 'boolean' ? v : none()
}

function keyOf(v: unknown): string {
  return v === null || typeof v === 'object' ? none() : String(v)
}

function nameStep(name: string, item: string | undefined): Step {
  if (name === item) return (scope) => scope.item
  if (Object.hasOwn(CONSTANTS, name)) {
    const value = CONSTANTS[name]
    return () => value
  }
  return ({ facts }) => (facts as Readonly<Record<string, unknown>>)[name] ?? nullFact(facts, name)
}

/** JSON's `null` is a value, a fact that is not there is none. */
function nullFact(facts: object, name: string): unknown {
  return (facts as Readonly<Record<string, unknown>>)[name] === null ? null : none()
}

function keyStep(key: ASTNode | string, item: string | undefined): Step {
  return typeof key === 'string' ? () => key : stepOf(key, item)
}

function accessStep(of: ASTNode, key: Step, item: string | undefined): Step {
  const receiver = stepOf(of, item)
  return (scope) => {
    const v = receiver(scope)
    if (v instanceof Optional) return memberIn(v, key(scope))
    const member = memberOf(v, key(scope))
    return member === undefined ? none() : member
  }
}

function optionalAccess(receiver: Step, key: Step): Step {
  return (scope) => {
    const v = receiver(scope)
    return memberIn(v instanceof Optional ? v : new Optional(v), key(scope))
  }
}

function memberIn({ value }: Optional, key: unknown): Optional {
  const member = value === undefined ? undefined : memberOf(value, key)
  return member === undefined ? ABSENT : new Optional(member)
}

/** `has(a.b.c)`: is there a `c`? No answer when there is no `a.b`, unless it may be missing (`a.?b.c`). */
function hasStep(node: ASTNode, item: string | undefined): Step {
  const [of, key] = node.args as [ASTNode, string]
  const receiver = stepOf(of, item)
  return (scope) => {
    const v = receiver(scope)
    const value = v instanceof Optional ? v.value : v
    return value !== undefined && memberOf(value, key) !== undefined
  }
}

function callStep(table: typeof FUNCTIONS, name: string, nodes: readonly ASTNode[], item: string | undefined): Step {
  const call = Object.hasOwn(table, name) ? table[name] : undefined
  if (call === undefined) throw new Error(`there is no function ${name} here`)
  const args = nodes.map((one) => stepOf(one, item))
  return (scope) =>
    call(
      args.map((one) => one(scope)),
      scope.work,
    )
}

/** One side that decides does so, also when the other has no answer. */
function logical(decisive: boolean, left: Step, right: Step): Step {
  return (scope) => {
    let answer: unknown
    try {
      answer = left(scope)
    } catch (error) {
      scope.work.recovers(error)
    }
    if (answer === decisive) return decisive
    const other = truth(right(scope))
    return other === decisive ? decisive : truth(answer)
  }
}

function binary(op: string, left: Step, right: Step): Step {
  const act = binaryOf(op)
  return (scope) => act(left(scope), right(scope), scope.work)
}

function binaryOf(op: string): (a: unknown, b: unknown, work: Work) => unknown {
  switch (op) {
    case '==':
      return (a, b, work) => equal(a, b, work)
    case '!=':
      return (a, b, work) => !equal(a, b, work)
    case '<':
      return (a, b, work) => compare(a, b, work) < 0
    case '<=':
      return (a, b, work) => compare(a, b, work) <= 0
    case '>':
      return (a, b, work) => compare(a, b, work) > 0
    case '>=':
      return (a, b, work) => compare(a, b, work) >= 0
    case 'in':
      return isIn
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return (a, b, work) => calculate(op as Sign, a, b, work)
    default:
      throw new Error(`there is no operator ${op} here`)
  }
}

function isIn(v: unknown, among: unknown, work: Work): boolean {
  switch (kindOf(among)) {
    case 'list':
      return (among as unknown[]).some((one) => equal(v, one, work))
    case 'map':
      return memberOf(among, v) !== undefined
    default:
      return none()
  }
}

type Round = (items: readonly unknown[], predicate: Step, scope: Scope) => boolean

function loop(list: ASTNode, [name, body]: readonly ASTNode[], round: Round): Step {
  if (name?.op !== 'id' || body === undefined) throw new Error('a loop has a name and a condition')
  const items = stepOf(list, undefined)
  const predicate = stepOf(body, name.args)
  return (scope) => {
    const found = items(scope)
    const kind = kindOf(found)
    if (kind !== 'list' && kind !== 'map') return none()
    const elements = kind === 'list' ? (found as unknown[]) : keysOf(found as object)
    scope.work.charge(elements.length)
    return elements.length > LIST_MAX ? none() : round(elements, predicate, scope)
  }
}

/** `exists` for true, `all` for false: the first element that decides does. */
function quantifier(decisive: boolean): Round {
  return (items, predicate, scope) => {
    let missing = false
    for (const item of items) {
      scope.item = item
      try {
        if (truth(predicate(scope)) === decisive) return decisive
      } catch (error) {
        missing = scope.work.recovers(error)
      }
    }
    return missing ? none() : !decisive
  }
}

function exactlyOne(items: readonly unknown[], predicate: Step, scope: Scope): boolean {
  let count = 0
  for (const item of items) {
    scope.item = item
    if (truth(predicate(scope))) count++
  }
  return count === 1
}

function fallback(maybe: ASTNode, other: ASTNode, item: string | undefined, plain: boolean): Step {
  const first = stepOf(maybe, item)
  const second = stepOf(other, item)
  return (scope) => {
    const found = optional(first(scope))
    if (found.value !== undefined) return plain ? found.value : found
    return plain ? second(scope) : optional(second(scope))
  }
}
