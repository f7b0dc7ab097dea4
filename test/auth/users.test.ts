/** The users file: what a line may be, and what happens when the file changes under a running broker. */
import { appendFileSync, chmodSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ITERATIONS_MAX, readCredential, SALT_BYTES_MAX } from '../../src/auth/credential.js'
import { decoy } from '../../src/auth/decoys.js'
import { scramCredential, scramUserLine } from '../../src/auth/user-line.js'
import { NAME_BYTES_MAX, readUsers, Users } from '../../src/auth/users.js'
import { USERS_FILE_BYTES_MAX, UsersFile } from '../../src/auth/users-file.js'
import type { Log } from '../../src/core/log.js'

const SALT = 'W22ZaJ0SNY7soEsUEjb6gQ=='
const STORED = 'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY='
const SERVER = 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='
const credential = (o: { i?: number | string; salt?: string; stored?: string; server?: string } = {}): string =>
  `SCRAM-SHA-256$${o.i ?? 4096}:${o.salt ?? SALT}$${o.stored ?? STORED}:${o.server ?? SERVER}`
const read = (...lines: string[]) => readUsers(Buffer.from(lines.join('\n')))
const names = async (...lines: string[]): Promise<string | number> => {
  const users = await read(...lines)
  return typeof users === 'string' ? users : users.size
}

describe('a users file', () => {
  it('has a user a line; empty lines and comments do not count', async () => {
    const users = await read('# who may', `ann:${credential()}`, '', '  ', `b:c:${credential()}`, `ü:${credential()}`, '')
    if (typeof users === 'string') throw new Error(users)
    expect(users.size).toBe(3)
    for (const name of ['ann', 'b:c', 'ü']) expect(users.of(name)?.storedKey.toString('base64')).toBe(STORED)
    for (const name of ['b', 'Ann', '', '__proto__', 'constructor']) expect(users.of(name)).toBeUndefined()
  })

  it('may be one that Windows wrote, and may be empty', async () => {
    expect(await names(`\ufeffann:${credential()}\r`, `bob:${credential()}\r`, '')).toBe(2)
    expect(await names('')).toBe(0)
  })

  it.each<[string, string]>([
    ['ann', 'it is not <name>:SCRAM'],
    ['ann:secret', 'it is not <name>:SCRAM'],
    ['ann:SCRAM-SHA-1$4096:x$y:z', 'it is not <name>:SCRAM'],
    [`:${credential()}`, 'a name is empty'],
    [` ann:${credential()}`, 'a name begins with # or a space'],
    [`ann :${credential()}`, 'a name begins with # or a space'],
    [`῍:${credential()}`, 'a name begins with # or a space'],
    [`＃ann:${credential()}`, 'a name begins with # or a space'],
    [`a\tn:${credential()}`, 'control characters'],
    [`${'x'.repeat(NAME_BYTES_MAX + 1)}:${credential()}`, 'more than 512 bytes'],
    [`ann:${credential({ i: 4095 })}`, '4095 iterations'],
    [`ann:${credential({ i: ITERATIONS_MAX + 1 })}`, 'iterations'],
    [`ann:${credential({ i: '-4096' })}`, 'it is not SCRAM'],
    [`ann:${credential({ salt: 'W22Z=' })}`, 'salt'],
    [`ann:${credential({ salt: Buffer.alloc(SALT_BYTES_MAX + 1).toString('base64') })}`, 'salt'],
    [`ann:${credential({ stored: `${'A'.repeat(42)}==` })}`, 'keys'],
    [`ann:${credential({ server: `${STORED.slice(0, -2)}Z=` })}`, 'keys'],
    [`ann:${credential()} `, 'it is not SCRAM'],
    [`one:${credential()}`, '"one" is there twice'],
    [`ｏne:${credential()}`, 'is there twice'],
  ])('with the line %j says so and names it, never a key', async (line, why) => {
    const wrong = await names(`one:${credential()}`, '# two', line, `four:${credential()}`)
    expect(wrong).toMatch(/^line 3: /)
    expect(wrong).toContain(why)
    expect(wrong).not.toContain(STORED.slice(0, 8))
  })

  it('has limits that include their edges', async () => {
    expect(await names(`${'x'.repeat(NAME_BYTES_MAX)}:${credential()}`)).toBe(1)
    expect(await names(`ann:${credential({ i: ITERATIONS_MAX, salt: Buffer.alloc(SALT_BYTES_MAX).toString('base64') })}`)).toBe(1)
  })

  it('with bytes that are no UTF-8 says so', async () => {
    expect(await readUsers(Buffer.from([0x61, 0x0a, 0xff, 0x0a]))).toMatch(/^line 1: /)
    expect(await readUsers(Buffer.from([0x23, 0x0a, 0xff, 0x0a]))).toBe('line 2: it is not UTF-8')
  })

  it('takes every line that scram-user makes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.string({ unit: 'binary', maxLength: 4 })),
        async (name) => {
          const line = await scramUserLine(name, 'pencil', { iterations: 4096 }).catch(() => undefined)
          if (line !== undefined) expect(await names(line)).toBe(1)
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('scramUserLine', () => {
  it.each(['', '#ann', ' ann', 'a\nb'])('refuses the name %j', async (name) => {
    await expect(scramUserLine(name, 'pencil')).rejects.toMatchObject({ code: 'attribute_invalid' })
  })

  it('refuses an empty password, control characters and too few iterations', async () => {
    await expect(scramUserLine('ann', '')).rejects.toMatchObject({ code: 'attribute_invalid' })
    await expect(scramUserLine('ann', 'a\u0000b')).rejects.toMatchObject({ code: 'attribute_invalid' })
    await expect(scramCredential('pencil', { iterations: 4095 })).rejects.toMatchObject({ code: 'attribute_invalid' })
  })

  it('takes a new salt each time, and 15,000 iterations', async () => {
    const [one, two] = [await scramCredential('pencil'), await scramCredential('pencil')]
    expect(one).not.toBe(two)
    expect(readCredential(one)).toMatchObject({ iterations: 15_000 })
  })
})

describe('a decoy', () => {
  const secret = Buffer.alloc(32, 7)

  it('looks like most credentials of the list, and the same each time', () => {
    const users = new Users()
    users.add(`a:${credential({ i: 5000 })}`)
    for (const name of ['b', 'c']) users.add(`${name}:${credential({ i: 6000, salt: 'AAAA' })}`)
    expect(users.looks).toEqual({ iterations: 6000, saltBytes: 3 })
    const made = decoy(secret, 'nobody', users.looks)
    expect(made).toMatchObject({ iterations: 6000 })
    expect(made.salt).toHaveLength(3)
    expect(decoy(secret, 'nobody', users.looks)).toEqual(made)
  })

  it('is another one for another name, and under another secret', () => {
    const looks = { iterations: 4096, saltBytes: 16 }
    const { salt } = decoy(secret, 'nobody', looks)
    expect(decoy(secret, 'nobody2', looks).salt).not.toEqual(salt)
    expect(decoy(Buffer.alloc(32, 8), 'nobody', looks).salt).not.toEqual(salt)
  })
})

describe('a decoy of a long name', () => {
  it.each([512, 513, 1_018, 1_019, 4_000])('of %i bytes is like any other', (bytes) => {
    const looks = { iterations: 4096, saltBytes: 16 }
    const secret = Buffer.alloc(32, 7)
    const made = decoy(secret, 'n'.repeat(bytes), looks)
    expect(made.salt).toHaveLength(16)
    expect(decoy(secret, 'n'.repeat(bytes), looks)).toEqual(made)
    expect(decoy(secret, `${'n'.repeat(bytes - 1)}m`, looks).salt).not.toEqual(made.salt)
  })
})

describe('a users file that changes', () => {
  let folder: string
  let path: string
  let logged: string[]
  const log: Log = {
    debug: () => {},
    info: () => {},
    warn: (_, message) => void logged.push(`warn ${message}`),
    error: (fields, message) => void logged.push(`error ${message}: ${(fields as { why: string }).why}`),
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'aqueduct-users-'))
    path = join(folder, 'users')
    writeFileSync(path, `ann:${credential()}\n`, { mode: 0o600 })
    logged = []
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('is read again by whoever asks next', async () => {
    const file = await UsersFile.open(path, log)
    const first = await file.current()
    expect(await file.current()).toBe(first)
    appendFileSync(path, `bob:${credential()}\n`)
    const [one, two] = await Promise.all([file.current(), file.current()])
    expect(one).toBe(two)
    expect([one.size, first.size]).toEqual([2, 1])
    expect(await file.current()).toBe(one)
    // In the way of an editor: a new file under the old name.
    writeFileSync(`${path}.new`, `eve:${credential()}\nann:${credential()}\n`)
    renameSync(`${path}.new`, path)
    expect((await file.current()).of('eve')).toBeDefined()
    expect((await file.current()).of('bob')).toBeUndefined()
    expect(logged).toEqual([])
  })

  it('keeps the list before it while it has a bad line or is gone, and says so once', async () => {
    const file = await UsersFile.open(path, log)
    appendFileSync(path, 'bob\n')
    for (let i = 0; i < 3; i++) expect((await file.current()).size).toBe(1)
    expect(logged).toHaveLength(1)
    expect(logged[0]).toContain('the list before it stays in force: line 2: it is not')
    rmSync(path)
    for (let i = 0; i < 3; i++) expect((await file.current()).of('ann')).toBeDefined()
    expect(logged).toHaveLength(2)
    expect(logged[1]).toContain('ENOENT')
    writeFileSync(path, `bob:${credential()}\n`)
    expect((await file.current()).of('ann')).toBeUndefined()
    expect(logged).toHaveLength(2)
  })

  it.each<[string, () => void, string]>([
    ['has a bad line', () => writeFileSync(path, `ann:${credential()}\nbob:x\n`), `"; line 2: it is not <name>:SCRAM`],
    ['is not there', () => rmSync(path), '"; ENOENT'],
    ['is a folder', () => (path = folder), '"; it is no file'],
    ['is too large', () => truncateSync(path, USERS_FILE_BYTES_MAX + 1), `"; it has more than ${USERS_FILE_BYTES_MAX} bytes`],
  ])('lets nothing start when it %s', async (_, spoil, why) => {
    spoil()
    const sentence = `auth.scram_file = "${path}${why.replace('; ', ': ')}`
    const opened = UsersFile.open(path, log)
    await expect(opened).rejects.toMatchObject({ code: 'bad_setting' })
    await expect(opened).rejects.toThrow(sentence)
  })

  it('may be as large as its limit', async () => {
    const line = `# ${'x'.repeat(1021)}\n`
    writeFileSync(path, line.repeat(USERS_FILE_BYTES_MAX / line.length))
    expect((await (await UsersFile.open(path, log)).current()).size).toBe(0)
  })

  it('that everybody can read is worth a warning', async () => {
    chmodSync(path, 0o644)
    await UsersFile.open(path, log)
    expect(logged).toEqual(['warn everybody on this machine can read the users file; chmod 600 is enough'])
  })
})
