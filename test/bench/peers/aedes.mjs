// node aedes.mjs PORT [DIR]: plain Aedes, in memory or with aedes-persistence-level in DIR, assembled as its README shows.
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const [port, dir] = process.argv.slice(2)
const options = {}
if (dir) {
  const { Level } = await import('level')
  const { default: levelPersistence } = await import('aedes-persistence-level')
  options.persistence = levelPersistence(new Level(`${dir}/db`))
}
const broker = await Aedes.createBroker(options)
createServer({ noDelay: true }, broker.handle).listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 })
process.once('SIGTERM', () => process.exit(0))
