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

/** What a name in another section counts as, in edits. */
const OTHER_SECTION = 1.5

/**
 * The known name that `wrong` was meant to be: by the whole name, or by its last part when the section is missing or another one. None when no name is
 * near: more than a third of its letters would have to change.
 */
export function nearest(wrong: string, known: readonly string[]): string | undefined {
  // Long input is cut: the distance is quadratic, and no known name is anywhere near as long.
  const key = wrong.toLowerCase().slice(0, 100)
  let best: string | undefined
  let least = Infinity
  for (const candidate of known) {
    const part = afterDot(candidate)
    const distance = Math.min(edits(key, candidate), edits(afterDot(key), part) + OTHER_SECTION)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Infinity when that is another name, and no misspelt one. A name without its unit counts as one edit. */
function edits(wrong: string, name: string): number {
  if (wrong.length > 2 && name.startsWith(`${wrong}_`)) return 1
  const distance = editDistance(wrong, name)
  return distance <= Math.max(1, Math.floor(name.length / 3)) ? distance : Infinity
}

/** A sentence that names the nearest known name, with a space before it; empty when none is near. */
export function nearestHint(wrong: string, known: readonly string[]): string {
  const meant = nearest(wrong, known)
  return meant === undefined ? '' : ` The nearest is ${meant}.`
}
