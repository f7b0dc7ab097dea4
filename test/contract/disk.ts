/** What every `Disk` must do: run on each implementation with a factory that makes an empty one. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Disk, KeyRange, Op, ScanOptions } from '../../src/store/disk.js'

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
const put = (key: string, value: string): Op => ({ type: 'put', key: bytes(key), value: bytes(value) })
const del = (key: string): Op => ({ type: 'del', key: bytes(key) })
const range = (gte: string, lt: string): KeyRange => ({ gte: bytes(gte), lt: bytes(lt) })

async function keysIn(disk: Disk, r: KeyRange, options?: ScanOptions): Promise<string[]> {
  const keys: string[] = []
  for await (const row of disk.scan(r, options)) keys.push(row.key.toString('latin1'))
  return keys
}

export function diskContract(name: string, make: () => Promise<{ disk: Disk; remove: () => Promise<void> }>): void {
  describe(`disk contract: ${name}`, () => {
    let disk: Disk
    let remove: () => Promise<void>
    beforeEach(async () => {
      ;({ disk, remove } = await make())
    })
    afterEach(async () => {
      await disk.close()
      await remove()
    })

    test('a row that was put is there, one that was not is undefined, both ways of reading', async () => {
      await disk.write([put('a', '1')], true)
      expect((await disk.get(bytes('a')))?.toString()).toBe('1')
      expect(disk.getSync(bytes('a'))?.toString()).toBe('1')
      expect(await disk.get(bytes('b'))).toBeUndefined()
      expect(disk.getSync(bytes('b'))).toBeUndefined()
    })

    test('a batch is applied in order: the last op on a key wins', async () => {
      await disk.write([put('a', '1'), del('a'), put('b', '1'), put('b', '2'), put('c', '1'), del('c')], false)
      expect(await keysIn(disk, range('a', 'z'))).toEqual(['b'])
      expect(disk.getSync(bytes('b'))?.toString()).toBe('2')
    })

    test('deleting what is not there is nothing', async () => {
      await disk.write([del('nowhere')], true)
      expect(await keysIn(disk, range('\0', '\xff'))).toEqual([])
    })

    test('an empty batch and an empty value are allowed', async () => {
      await disk.write([], true)
      await disk.write([put('a', '')], true)
      expect(disk.getSync(bytes('a'))?.length).toBe(0)
    })

    test('keys are bytes, in unsigned order', async () => {
      const keys = ['\x00', '\x00\x00', '\x01', '\x7f', '\x80', '\xc3\xa9', '\xfe', '\xfe\xff']
      await disk.write(
        [...keys].reverse().map((k) => put(k, 'v')),
        true,
      )
      expect(await keysIn(disk, range('\x00', '\xff'))).toEqual(keys)
    })

    test('a scan is half open, may go backwards and stop early', async () => {
      await disk.write(
        ['a', 'b', 'c', 'd'].map((k) => put(k, k)),
        true,
      )
      expect(await keysIn(disk, range('b', 'd'))).toEqual(['b', 'c'])
      expect(await keysIn(disk, range('a', 'd'), { reverse: true })).toEqual(['c', 'b', 'a'])
      expect(await keysIn(disk, range('a', 'z'), { limit: 2 })).toEqual(['a', 'b'])
      expect(await keysIn(disk, range('a', 'z'), { limit: 2, reverse: true })).toEqual(['d', 'c'])
      expect(await keysIn(disk, range('x', 'z'))).toEqual([])
      for await (const row of disk.scan(range('a', 'z'))) if (row.key.toString() === 'b') break
      await disk.write([del('a')], true)
    })

    test('a scan for keys only has no values', async () => {
      await disk.write([put('a', 'one'), put('b', 'two')], true)
      const rows: string[] = []
      for await (const { key, value } of disk.scan(range('a', 'z'), { keysOnly: true })) rows.push(`${key}:${value}`)
      expect(rows).toEqual(['a:', 'b:'])
    })

    test('many rows come whole and in order', async () => {
      const n = 3_000
      const key = (i: number): string => `k${String(i).padStart(5, '0')}`
      const order = Array.from({ length: n }, (_, i) => (i * 7_919) % n)
      for (let at = 0; at < n; at += 500)
        await disk.write(
          order.slice(at, at + 500).map((i) => put(key(i), `${i}`.repeat(50))),
          false,
        )
      let i = 0
      for await (const row of disk.scan(range('k', 'l'))) {
        expect(row.key.toString()).toBe(key(i))
        expect(row.value.toString()).toBe(`${i}`.repeat(50))
        i++
      }
      expect(i).toBe(n)
      await disk.write(
        order.filter((j) => j % 3 > 0).map((j) => del(key(j))),
        false,
      )
      expect(await keysIn(disk, range('k', 'l'))).toEqual(Array.from({ length: n / 3 }, (_, j) => key(j * 3)))
      expect(await keysIn(disk, range(key(2_000), 'l'), { limit: 1 })).toEqual([key(2_001)])
      expect(await keysIn(disk, range('k', key(2_000)), { limit: 1, reverse: true })).toEqual([key(1_998)])
    })

    test('what was written is not the caller’s buffer any more', async () => {
      const value = bytes('before')
      await disk.write([{ type: 'put', key: bytes('a'), value }], true)
      value.write('AFTER!')
      expect(disk.getSync(bytes('a'))?.toString()).toBe('before')
    })

    test('compacting and sizing take any range', async () => {
      await disk.write([put('a', 'x'.repeat(1_000))], true)
      await disk.compact(range('a', 'z'))
      expect(await disk.approximateBytes(range('x', 'z'))).toBe(0)
      expect(await disk.freeBytes()).toBeGreaterThan(0)
    })

    test('a write after closing is refused', async () => {
      await disk.close()
      await expect(disk.write([put('a', '1')], true)).rejects.toMatchObject({ code: 'store_failed' })
    })
  })
}
