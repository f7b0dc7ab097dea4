/**
 * What a line of the conformance table is. Each normative statement of a standard stands once, in our own words, with the tests that
 * show it or, where there is nothing to show, the reason. table.test.ts holds the lists to the tests that exist.
 */

/** A test by its file and its words: the titles of its groups and its own, joined by ` > `, without the clauses behind them. */
export interface TestName {
  readonly file: string
  readonly title: string
}

export interface Statement {
  /** Number of the standard, without `MQTT-`. */
  readonly id: string
  readonly says: string
  /** Whom the statement binds. */
  readonly who: 'server' | 'client' | 'both'
  /** Either tests, */
  readonly tests: readonly TestName[]
  /** or the reason why there is none. */
  readonly reason: string
}

export interface Standard {
  readonly name: string
  readonly url: string
  /** How many statements Appendix B has; fewer or more is a mistake of ours. */
  readonly count: number
  readonly statements: readonly Statement[]
}

/** Names tests of one file: `const connect = testsOf('test/wire/connect.test.ts')`, then `connect('its title')`. */
export function testsOf(file: string): (title: string) => TestName {
  return (title) => ({ file, title })
}

export function server(id: string, says: string, ...tests: TestName[]): Statement {
  return { id, says, who: 'server', tests, reason: '' }
}

export function both(id: string, says: string, ...tests: TestName[]): Statement {
  return { id, says, who: 'both', tests, reason: '' }
}

/** Binds clients, and a broker cannot break it. */
export function client(id: string, says: string, reason = 'Binds the client only.'): Statement {
  return { id, says, who: 'client', tests: [], reason }
}

/** Binds a server, but there is nothing that a test could show. */
export function untested(id: string, says: string, reason: string, who: Statement['who'] = 'server'): Statement {
  return { id, says, who, tests: [], reason }
}
