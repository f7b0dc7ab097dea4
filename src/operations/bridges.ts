/** Bridge rules: which topics are copied into which queues. */
import { AqueductError } from '../core/errors.js'
import type { ListedRule, Rule, Bridges as RuleBook } from '../plugins/bridge/index.js'
import { type Ground, show } from './ground.js'
import { type Page, type PageOptions, pageOf } from './page.js'

export type { ListedRule }

/** What a rule says, its name aside. `qos0` is true and `required` false unless they are given. */
export type RuleFields = Pick<Rule, 'filter' | 'queue'> & Partial<Omit<Rule, 'name' | 'filter' | 'queue'>>

export class Bridges {
  private readonly ground: Ground

  constructor(ground: Ground) {
    this.ground = ground
  }

  /**
   * Makes or replaces a rule, at work from the next message on; resolves when that is stored. Throws `name_invalid`, `filter_invalid`,
   * `attribute_invalid`, `read_only`, `limit_reached`.
   */
  async put(name: string, fields: RuleFields): Promise<{ rule: ListedRule; created: boolean }> {
    const { book } = this
    const { rule, created } = book.put(name, fields)
    await book.committed()
    return { rule, created }
  }

  /** Throws `bridge_not_found`. */
  get(name: string): ListedRule {
    const rule = this.book.get(name)
    if (rule === undefined) throw notFound(name)
    return rule
  }

  list(o: PageOptions = {}): Page<ListedRule> {
    return pageOf(this.book.list(), (rule) => rule.name, o)
  }

  /** The rule is gone; its queue stays. Throws `bridge_not_found`, `read_only`. */
  async delete(name: string): Promise<void> {
    const { book } = this
    if (!book.delete(name)) throw notFound(name)
    await book.committed()
  }

  private get book(): RuleBook {
    const { ground } = this
    const book = ground.broker.offer<RuleBook>('bridge')
    if (book === undefined) throw new AqueductError('internal', 'There are no bridge rules: add the bridge plugin.')
    // Throws while there is no store.
    void ground.stored
    return book
  }
}

function notFound(name: string): AqueductError {
  return new AqueductError('bridge_not_found', `There is no bridge rule ${show(name)}.`)
}
