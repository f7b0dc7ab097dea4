/** Which methods a path knows, so that a wrong one is told from a path that does not exist: 405 with `Allow`, or 404. */

interface Known {
  readonly segments: readonly string[]
  readonly methods: Set<string>
}

/** Filled while routes are registered; asked only when none matched. */
export class AllowedMethods {
  private readonly known = new Map<string, Known>()

  /** `pattern` as the router has it: `/v1/queues/:queue/messages`, a `*` at the end for the rest. */
  add(methods: string | readonly string[], pattern: string): void {
    let entry = this.known.get(pattern)
    if (entry === undefined) {
      entry = { segments: pattern.split('/'), methods: new Set() }
      this.known.set(pattern, entry)
    }
    for (const method of typeof methods === 'string' ? [methods] : methods) entry.methods.add(method)
  }

  /** Methods of the routes that match the path of `url`, sorted; empty when none does. */
  of(url: string): string[] {
    const path = url.split('?', 1)[0] as string
    const segments = path.split('/')
    const found = new Set<string>()
    for (const entry of this.known.values()) {
      if (!matches(entry.segments, segments)) continue
      for (const method of entry.methods) found.add(method)
    }
    return [...found].sort()
  }
}

function matches(pattern: readonly string[], path: readonly string[]): boolean {
  for (let i = 0; i < pattern.length; i++) {
    const part = pattern[i] as string
    if (part === '*') return true
    const given = path[i]
    if (given === undefined) return false
    if (part.startsWith(':') ? given === '' : part !== given) return false
  }
  return pattern.length === path.length
}
