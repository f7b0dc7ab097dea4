/** The exchange alone: the RFC's own example, an independent client, and whatever a hostile one may send. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Credential, makeCredential, readCredential, writeCredential } from '../../src/auth/credential.js'
import { MESSAGE_BYTES_MAX, NONCE_LENGTH_MAX, readClientFinal, readClientFirst } from '../../src/auth/messages.js'
import { prepare } from '../../src/auth/prepare.js'
import { NOT_PROVEN, ScramServer } from '../../src/auth/scram.js'
import { systemRandom } from '../../src/core/random.js'
import { type Alter, ScramClient } from '../support/scram-client.js'

const NONCE = 'server-nonce-0123456789ab'
const fewer = 4096
const pencil = (await makeCredential('pencil', systemRandom, fewer)) as Credential

/** The whole exchange of `client` against `pencil`: who it is, or why not. */
function run(client: ScramClient, known = true): string {
  const server = new ScramServer(NONCE)
  const name = server.first(client.first())
  if (typeof name !== 'string') return name.refused
  const end = server.final(client.final(server.challenge(pencil, known)))
  if ('refused' in end) return end.refused
  expect(client.verify(end.data)).toBe(true)
  return `is ${end.name}`
}

describe('the example of RFC 7677', () => {
  const clientNonce = 'rOprNGfwEbeRWgbNEkqO'
  const serverNonce = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
  const salt = 'W22ZaJ0SNY7soEsUEjb6gQ=='
  const first = `n,,n=user,r=${clientNonce}`
  const serverFirst = `r=${clientNonce}${serverNonce},s=${salt},i=4096`
  const final = `c=biws,r=${clientNonce}${serverNonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`
  const serverFinal = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='

  it('comes out byte by byte, on both sides', async () => {
    const random = { bytes: () => Buffer.from(salt, 'base64'), below: () => 0 }
    const credential = (await makeCredential('pencil', random, 4096)) as Credential
    const server = new ScramServer(serverNonce)
    const client = new ScramClient('user', 'pencil', {}, clientNonce)
    expect(client.first().toString()).toBe(first)
    expect(server.first(Buffer.from(first))).toBe('user')
    expect(server.challenge(credential, true).toString()).toBe(serverFirst)
    expect(client.final(Buffer.from(serverFirst)).toString()).toBe(final)
    expect(server.final(Buffer.from(final))).toEqual({ name: 'user', data: Buffer.from(serverFinal) })
    expect(client.verify(Buffer.from(serverFinal))).toBe(true)
  })

  it('stores the keys as PostgreSQL does, and reads them back', async () => {
    const random = { bytes: () => Buffer.from(salt, 'base64'), below: () => 0 }
    const text = writeCredential((await makeCredential('pencil', random, 4096)) as Credential)
    // What RFC 5803 and PostgreSQL make of this password, salt and count.
    expect(text).toBe(
      `SCRAM-SHA-256$4096:${salt}$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=`,
    )
    expect(writeCredential(readCredential(text) as Credential)).toBe(text)
  })
})

describe('an exchange', () => {
  it.each<[string, string, Alter]>([
    ['a plain name', 'ann', {}],
    ['a name with comma and equals sign', 'a,b=c', {}],
    ['a client that could bind channels and thinks that we cannot', 'ann', { header: 'y,,' }],
    ['a client that acts as itself', 'ann', { header: 'n,a=ann,' }],
    ['extensions that nobody knows', 'ann', { firstExtensions: ',x=1,Z=a=b', finalExtensions: ',q=ü' }],
    ['a name in another form of the same letters', 'ａnn', {}],
  ])('accepts %s', (_, user, alter) => {
    expect(run(new ScramClient(user, 'pencil', alter))).toBe(`is ${prepare(user)}`)
  })

  it.each<[string, Alter, string]>([
    ['channel binding', { header: 'p=tls-unique,,' }, 'channel binding is not supported'],
    ['a header of another letter', { header: 'x,,' }, 'the first message is malformed'],
    ['an empty header', { header: '' }, 'the first message is malformed'],
    ['a header without its end', { header: 'n,' }, 'the first message is malformed'],
    ['acting as somebody else', { header: 'n,a=bob,' }, 'acting as somebody else is not supported'],
    ['acting as nobody', { header: 'n,a=,' }, 'the first message is malformed'],
    ['acting as an ill-written name', { header: 'n,a=a=2,' }, 'the name is malformed'],
    ['a mandatory extension in front', { name: 'm=x,n=ann' }, 'a mandatory extension is not supported'],
    ['a mandatory extension behind', { firstExtensions: ',m=x' }, 'a mandatory extension is not supported'],
    ['one in the second message', { finalExtensions: ',m=x' }, 'a mandatory extension is not supported'],
    ['no name', { name: 'n=' }, 'the name is malformed'],
    ['a name with a bare equals sign', { name: 'n=a=b' }, 'the name is malformed'],
    ['a name with a lower case escape', { name: 'n=a=2c' }, 'the name is malformed'],
    ['a name with a control character', { name: 'n=a\tb' }, 'the name holds characters that no name may hold'],
    ['a name of nothing that can be seen', { name: 'n=\u00ad' }, 'the name holds characters that no name may hold'],
    ['a malformed extension', { firstExtensions: ',xy' }, 'an extension is malformed'],
    ['an empty extension', { firstExtensions: ',' }, 'an extension is malformed'],
    ['another nonce at the end', { finalNonce: 'other' }, 'the nonce is not that of this exchange'],
    ['another channel binding at the end', { binding: 'eSws' }, 'the channel binding has changed'],
    ['a proof that is short', { proof: 'AAAA' }, 'the second message is malformed'],
    ['a proof in loose Base64', { proof: `${'A'.repeat(42)}B=` }, 'the second message is malformed'],
    ['a proof of zeros', { proof: `${'A'.repeat(43)}=` }, NOT_PROVEN],
  ])('refuses %s', (_, alter, why) => {
    expect(run(new ScramClient('ann', 'pencil', alter))).toBe(why)
  })

  it('refuses a wrong password and a name that nobody has in the same words', () => {
    expect(run(new ScramClient('ann', 'pencils'))).toBe(NOT_PROVEN)
    expect(run(new ScramClient('ann', 'pencil'), false)).toBe(NOT_PROVEN)
  })

  it('refuses a second message before the first', () => {
    expect(new ScramServer(NONCE).final(Buffer.from('c=biws,r=x,p=y'))).toEqual({ refused: NOT_PROVEN })
  })

  it('does not take the proof of another exchange', () => {
    const client = new ScramClient('ann', 'pencil')
    const server = new ScramServer(NONCE)
    server.first(client.first())
    const proof = client.final(server.challenge(pencil, true))
    const again = new ScramServer('another-nonce-0123456789')
    again.first(client.first())
    again.challenge(pencil, true)
    expect(again.final(proof)).toEqual({ refused: 'the nonce is not that of this exchange' })
  })

  it('looks at no message and no nonce above its bound', () => {
    const nonce = (n: number) => typeof readClientFirst(Buffer.from(`n,,n=ann,r=${'x'.repeat(n)}`))
    expect([nonce(1), nonce(NONCE_LENGTH_MAX), nonce(NONCE_LENGTH_MAX + 1)]).toEqual(['object', 'object', 'string'])
    const head = 'n,,n=ann,r=x,e='
    const message = (n: number) => typeof readClientFirst(Buffer.from(head.padEnd(n, 'y')))
    expect([message(MESSAGE_BYTES_MAX), message(MESSAGE_BYTES_MAX + 1)]).toEqual(['object', 'string'])
  })
})

describe('hostile input', () => {
  const soup = fc.array(
    fc.constantFrom(
      'n',
      'y',
      'p=',
      'a=',
      'm=',
      'n=',
      'r=',
      'c=',
      'p=',
      ',',
      '=2C',
      '=3D',
      '=',
      'biws',
      'ann',
      'x',
      '\0',
      'ü',
      'AAAA',
    ),
    { maxLength: 24 },
  )
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
    soup.map((parts) => Buffer.from(parts.join(''))),
    soup.map((parts) => Buffer.from(`n,,n=ann,r=x${parts.join('')}`)),
  )

  it('is read or refused, and what is read is what stands there', () => {
    fc.assert(
      fc.property(bytes, (data) => {
        const first = readClientFirst(data)
        if (typeof first === 'object') expect(first.header + first.bare).toBe(data.toString())
        const final = readClientFinal(data)
        if (typeof final === 'object') {
          expect(`${final.withoutProof},p=${final.proof.toString('base64')}`).toBe(data.toString())
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('never proves anything', () => {
    fc.assert(
      fc.property(bytes, bytes, (one, two) => {
        const server = new ScramServer(NONCE)
        if (typeof server.first(one) !== 'string') return
        server.challenge(pencil, true)
        expect(server.final(two)).toHaveProperty('refused')
      }),
      { numRuns: 2000 },
    )
  })

  it('with one byte of a right exchange changed proves nothing', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.nat(), fc.integer({ min: 1, max: 255 }), (second, at, change) => {
        const flip = (data: Buffer, here: boolean) => {
          const copy = Buffer.from(data)
          if (here) copy[at % copy.length] ^= change
          return copy
        }
        const client = new ScramClient('ann', 'pencil')
        const server = new ScramServer(NONCE)
        const name = server.first(flip(client.first(), !second))
        if (typeof name !== 'string') return
        const challenge = server.challenge(pencil, true)
        // Its own nonce changed: the client would have stopped here.
        if (!challenge.toString().startsWith(`r=${client.nonce}`)) return
        expect(server.final(flip(client.final(challenge), second))).toHaveProperty('refused')
      }),
      { numRuns: 60 },
    )
  })
})

describe('prepared text', () => {
  it.each([
    ['user', 'user'],
    ['I\u00adX', 'IX'],
    ['USER', 'USER'],
    ['\u00aa', 'a'],
    ['\u2168', 'IX'],
    ['a\u00a0b', 'a b'],
    ['u\u0308', 'ü'],
  ])('of %j is %j', (text, prepared) => {
    expect(prepare(text)).toBe(prepared)
  })

  it.each(['', '\u0007', '\u00ad', 'a\nb', 'a\u200eb', 'a\ue000b', 'a\ufffeb', 'a\ud800b', 'a\u2028b', '\u{e0001}'])(
    'does not exist for %j',
    (text) => {
      expect(prepare(text)).toBeUndefined()
    },
  )

  it('is its own prepared form', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const prepared = prepare(text)
        if (prepared !== undefined) expect(prepare(prepared)).toBe(prepared)
      }),
    )
  })
})
