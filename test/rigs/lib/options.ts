/** Command line of the rigs: `--name value` and `--flag`. */
export class Options {
  private readonly values = new Map<string, string>()

  constructor(argv: readonly string[]) {
    for (let i = 0; i < argv.length; i++) {
      if (!argv[i].startsWith('--')) throw new Error(`not an option: ${argv[i]}`)
      const next = argv[i + 1]
      if (next === undefined || next.startsWith('--')) this.values.set(argv[i].slice(2), 'true')
      else this.values.set(argv[i].slice(2), argv[++i])
    }
  }

  text(name: string, standard: string): string {
    return this.values.get(name) ?? standard
  }

  number(name: string, standard: number): number {
    const value = this.values.get(name)
    if (value === undefined) return standard
    const n = Number(value)
    if (!Number.isFinite(n)) throw new Error(`--${name} needs a number, not ${value}`)
    return n
  }

  flag(name: string): boolean {
    return this.values.get(name) === 'true'
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
