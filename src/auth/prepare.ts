/**
 * How names and passwords are brought into one form before they are compared: SASLprep [RFC 4013] but for its rules about letters that run from
 * right to left, with the Unicode tables of the running Node instead of those of 2002.
 */

/** Spaces that are no U+0020 [RFC 3454 C.1.2]; U+200B was one of them. */
const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu
/** Not there, whoever reads it [RFC 3454 B.1]. */
const NOTHING = /\u00ad|\u034f|\u1806|\u180b|\u180c|\u180d|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/gu
/** Control and format characters, line and paragraph separators, private use, lone surrogates, what is no character. */
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]/u

/** The form that counts; undefined when nothing is left, or something that neither a name nor a password may hold. */
export function prepare(text: string): string | undefined {
  const prepared = text.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC')
  return prepared === '' || FORBIDDEN.test(prepared) ? undefined : prepared
}
