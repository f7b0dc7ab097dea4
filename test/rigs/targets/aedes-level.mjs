// The baseline: plain Aedes on aedes-persistence-level, assembled as its README does. node aedes-level.mjs DIR [PORT]
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import aedesPersistenceLevel from 'aedes-persistence-level'
import { Level } from 'level'

const dir = process.argv[2]
mkdirSync(dir, { recursive: true })
const persistence = aedesPersistenceLevel(new Level(join(dir, 'db')))
const broker = await Aedes.createBroker({ persistence })
const server = createServer({ noDelay: true }, broker.handle)
server.listen({ port: Number(process.argv[3] ?? 0), host: '127.0.0.1', backlog: 1024 }, () => {
  console.log(`mqtt listening on 127.0.0.1:${server.address().port}`)
})
