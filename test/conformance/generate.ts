/** Part of `npm run docs`: writes README.md. table.test.ts fails when it is stale. */
import { writeFileSync } from 'node:fs'
import { conformancePage } from './page.js'
import { standards } from './standards.js'

writeFileSync(new URL('README.md', import.meta.url), conformancePage(standards))
