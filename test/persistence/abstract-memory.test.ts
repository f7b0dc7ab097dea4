/** The contract suite that `aedes-persistence` exports, on the store in memory. */
import { test } from 'node:test'
import abstract from 'aedes-persistence/abstract.js'
import { openPersistence } from './support.js'

abstract({ test, testAsync: true, persistence: () => openPersistence('', 'memory') })
