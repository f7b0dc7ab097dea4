/** The contract suite that `aedes-persistence` exports, on LevelDB. It is written for node:test. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import abstract from 'aedes-persistence/abstract.js'
import { openPersistence } from './support.js'

const root = mkdtempSync(join(tmpdir(), 'aqueduct-persistence-'))
let count = 0
after(() => rmSync(root, { recursive: true, force: true }))

abstract({ test, testAsync: true, persistence: () => openPersistence(join(root, String(count++)), 'os') })
