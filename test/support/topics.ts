import fc from 'fast-check'

/** The rule of MQTT 4.7 once more, by splitting: slow, short, and sharing nothing with the code under test. */
export function matchesBySplitting(filter: string, topic: string): boolean {
  const f = filter.split('/')
  const t = topic.split('/')
  if (topic.startsWith('$') && (f[0] === '#' || f[0] === '+')) return false
  for (let i = 0; i < f.length; i++) {
    if (f[i] === '#') return true
    if (i >= t.length || (f[i] !== '+' && f[i] !== t[i])) return false
  }
  return f.length === t.length
}

/** Few different levels, so that names and filters often meet; empty ones, `$` and names of prototype members among them. */
const level = fc.constantFrom('', 'a', 'b', 'ab', '$', '$SYS', '__proto__', 'constructor', 'a-level-of-more-than-13-bytes')

/** Valid topic names. */
export const topicName = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((name) => name !== '')

/** Valid topic filters, without `$share/`. */
export const topicFilter = fc
  .tuple(fc.array(fc.oneof({ weight: 2, arbitrary: level }, fc.constant('+')), { maxLength: 5 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))
  .filter((filter) => filter !== '')
