/** Tables for people: columns as wide as what is in them, numbers to the right. */
import { cut, printable, widthOf } from './text.js'

export interface Column<T> {
  readonly title: string
  /** A number stands to the right. */
  readonly of: (row: T) => string | number
  /** Wider values are cut; default 60. */
  readonly most?: number
}

/** Lines with a head; every value made printable. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const right = columns.map(({ of }) => rows.length > 0 && rows.every((row) => typeof of(row) === 'number'))
  const cells = rows.map((row) => columns.map(({ of, most = 60 }) => cut(printable(shown(of(row))), most)))
  const lines = [columns.map(({ title }) => title), ...cells]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => widthOf(line[i] as string))))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, i) => padded(cell, widths[i] as number, right[i] === true))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** One thing: its names and values, a line each. */
export function card(entries: readonly (readonly [name: string, value: string | number | boolean])[]): string {
  const width = Math.max(...entries.map(([name]) => widthOf(name)))
  return entries.map(([name, value]) => `${padded(name, width, false)}  ${printable(shown(value))}\n`).join('')
}

const shown = (value: string | number | boolean): string =>
  typeof value === 'number' ? value.toLocaleString('en') : String(value)

function padded(cell: string, width: number, right: boolean): string {
  const space = ' '.repeat(width - widthOf(cell))
  return right ? space + cell : cell + space
}
