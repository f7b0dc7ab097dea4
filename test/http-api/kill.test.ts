/** The program, killed: what it answered over HTTP is so afterwards, leases, attempts and receipts too. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { ApiClient } from '../support/api-client.js'
import { Child } from '../support/processes.js'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

async function start(folder: string): Promise<{ child: Child; api: ApiClient }> {
  const off = ['--set', 'mqtt.port=off', '--set', 'http.port=0', '--set', 'log.level=silent']
  const child = new Child(process.execPath, ['--import=tsx', main, 'serve', '--set', `store.path=${folder}`, ...off])
  const [line = ''] = await child.has(1)
  return { child, api: new ApiClient(Number(line.slice(line.lastIndexOf(':') + 1))) }
}

describe('after a kill', () => {
  it("a leased message is still its receiver's, and every receipt is what it was", { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aqueduct-http-kill-'))
    let running = await start(folder)
    try {
      const { api } = running
      await api.put('jobs', { max_attempts: 3 })
      const ids = await api.send('jobs', 'done', 'held', 'returned', 'postponed', { body: 'delayed', delay_ms: 600_000 }, 'fresh')
      const [done, held, returned, postponed] = await api.receive('jobs', { max: 4, lease_ms: 600_000 })
      await api.settle('jobs', 'ack', [done.receipt])
      await api.settle('jobs', 'nack', [returned.receipt])
      await api.settle('jobs', 'nack', [postponed.receipt], { delay_ms: 600_000 })
      const [twice] = await api.receive('jobs', { lease_ms: 600_000 })
      expect(twice).toMatchObject({ body: 'returned', attempts: 2 })
      await api.settle('jobs', 'extend', [held.receipt], { lease_ms: 1_200_000 })
      const before = await api.call('GET', '/v1/queues/jobs/peek?states=ready,delayed,leased&limit=9')
      // The kill comes with nobody waiting for an answer.
      await running.child.stop('SIGKILL')
      running = await start(folder)
      const after = running.api
      expect((await after.call('GET', '/v1/queues/jobs/peek?states=ready,delayed,leased&limit=9')).body).toEqual(before.body)
      expect(await after.counts('jobs')).toMatchObject({ ready: 1, leased: 2, delayed: 2 })
      expect(await after.receive('jobs', { max: 9 })).toMatchObject([{ id: ids[5], body: 'fresh', attempts: 1 }])
      const receipts = [done, returned, held, twice].map((m) => m.receipt)
      expect(await after.settle('jobs', 'ack', receipts)).toEqual(['receipt_invalid', 'receipt_invalid', 'ok', 'ok'])
    } finally {
      await running.child.stop('SIGKILL')
      await rm(folder, { recursive: true })
    }
  })

  it('every message that was acknowledged to its sender is there, once', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aqueduct-http-kill-'))
    let running = await start(folder)
    try {
      await running.api.put('jobs')
      await running.api.openApi()
      const acknowledged: string[] = []
      let sending = true
      const senders = Array.from({ length: 8 }, async (_, s) => {
        for (let i = 0; sending; i++) {
          const body = `${s}.${i}`
          const url = `${running.api.base}/v1/queues/jobs/messages?dedup_id=${body}`
          const status = await fetch(url, { method: 'POST', body }).then(
            (response) => response.status,
            () => 0,
          )
          if (status === 201) acknowledged.push(body)
          else return
        }
      })
      while (acknowledged.length < 200) await new Promise((resolve) => setImmediate(resolve))
      await running.child.stop('SIGKILL')
      sending = false
      await Promise.all(senders)
      running = await start(folder)
      const there: string[] = []
      for (;;) {
        const got = await running.api.receive('jobs', { max: 256, lease_ms: 600_000 })
        if (got.length === 0) break
        there.push(...got.map((m) => m.body))
      }
      expect(new Set(there).size).toBe(there.length)
      expect(there).toEqual(expect.arrayContaining(acknowledged))
      // At most one more for each sender: its answer was on its way.
      expect(there.length).toBeLessThanOrEqual(acknowledged.length + 8)
    } finally {
      await running.child.stop('SIGKILL')
      await rm(folder, { recursive: true })
    }
  })
})
