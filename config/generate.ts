/** `npm run docs`: writes the two pages that are made from the table of settings. test/config-docs.test.ts fails when they are stale. */
import { writeFileSync } from 'node:fs'
import { exampleToml, referencePage } from '../src/config/print.js'
import { table } from '../src/config/schema.js'

writeFileSync(new URL('reference.md', import.meta.url), referencePage(table))
writeFileSync(new URL('aqueduct.example.toml', import.meta.url), exampleToml(table))
