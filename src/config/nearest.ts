/** Finds the name that a misspelt one was meant to be. */

/** Single-letter edits (insert, delete, replace) that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (before[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, (before[j] as number) + 1, (row[j - 1] as number) + 1))
    }
    before = row
  }
  return before[b.length] as number
}

const afterDot = (key: string): string => key.slice(key.lastIndexOf('.') + 1)

/** The known key closest to `wrong`: by the whole key, or by its last part when the section is missing or another one. */
export function nearest(wrong: string, known: readonly string[]): string | undefined {
  // Long input is cut: the distance is quadratic, and no known key is anywhere near as long.
  const key = wrong.toLowerCase().slice(0, 100)
  let best: string | undefined
  let least = Infinity
  for (const candidate of known) {
    const distance = Math.min(editDistance(key, candidate), editDistance(afterDot(key), afterDot(candidate)) + 1.5)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}
