/** `aqueduct scram-user` as a process, and how a password comes to it. */
import { spawn } from 'node:child_process'
import { PassThrough, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { readCredential } from '../../src/auth/credential.js'
import { readUsers } from '../../src/auth/users.js'
import { PASSWORD_BYTES_MAX, readPassword } from '../../src/cli/password.js'

vi.setConfig({ testTimeout: 60_000 })

const root = fileURLToPath(new URL('../..', import.meta.url))

async function scramUser(input: string, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['--import=tsx', 'src/main.ts', 'scram-user', ...args], { cwd: root })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk))
  // The program may have said no before it read anything.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}

test('it prints the line of a users file for a password from a pipe', async () => {
  const { code, out, err } = await scramUser('pencil\n', 'ann', '--iterations', '5000')
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out.split('\n')).toHaveLength(2)
  const users = await readUsers(Buffer.from(out))
  if (typeof users === 'string') throw new Error(users)
  expect(users.of('ann')).toMatchObject({ iterations: 5000 })
  expect(out).not.toContain('pencil')
  expect(typeof readCredential(out.trimEnd().slice('ann:'.length))).toBe('object')
})

test.each([
  ['', ['ann'], 'The password is empty or holds control characters.'],
  ['a\nb\n', ['ann'], 'The password is empty or holds control characters.'],
  ['pencil', ['#ann'], '"#ann" cannot be a user name: a name begins with # or a space, or ends with a space.'],
  ['pencil', ['ann', '--iterations', '12x'], 'iterations = NaN is not allowed. Allowed is a whole number from 4096 to 10000000.'],
])('%j with %j exits 2 and says why', async (input, args, why) => {
  expect(await scramUser(input, ...args)).toEqual({ code: 2, out: '', err: `aqueduct: ${why}\n` })
})

const piped = (...chunks: (string | Buffer)[]) => {
  const input = Readable.from(chunks.map((chunk) => Buffer.from(chunk as string)))
  return readPassword({ input, output: new PassThrough() })
}

test('a pipe is read to its end; one end of a line is not part of the password', async () => {
  expect(await piped('pen', 'cil\n')).toBe('pencil')
  expect(await piped('pencil\r\n')).toBe('pencil')
  expect(await piped(' pencil \n\n')).toBe(' pencil \n')
  expect(await piped(Buffer.from([0xc3]), Buffer.from([0xbc]))).toBe('ü')
  expect(await piped('x'.repeat(PASSWORD_BYTES_MAX))).toHaveLength(PASSWORD_BYTES_MAX)
  await expect(piped('x'.repeat(PASSWORD_BYTES_MAX), 'x')).rejects.toMatchObject({ code: 'bad_setting' })
  await expect(piped(Buffer.from([0xff]))).rejects.toMatchObject({ code: 'bad_setting' })
})

/** A terminal that types `keys`, each piece when it is asked for something. */
async function typed(...keys: string[]): Promise<{ password: string; shown: string }> {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input })
  const output = new PassThrough()
  let shown = ''
  output.on('data', (chunk: Buffer) => {
    shown += chunk
    if (`${chunk}`.endsWith(': ')) setImmediate(() => input.write(keys.shift() ?? '\u0004'))
  })
  const password = await readPassword({ input, output })
  return { password, shown }
}

test('at a terminal it is asked for twice and never shown', async () => {
  expect(await typed('pencil\r', 'pencil\r')).toEqual({ password: 'pencil', shown: 'Password: \nOnce more: \n' })
  // Backspace works.
  expect((await typed('pencils\u007f\r', 'pencil\r')).password).toBe('pencil')
  await expect(typed('pencil\r', 'pencils\r')).rejects.toMatchObject({ message: 'The two passwords differ.' })
  for (const end of ['\u0004', '\u0003']) {
    await expect(typed(end)).rejects.toMatchObject({ message: 'No password was given.' })
  }
})
