/** Eclipse Paho for Python and C, as Debian has them. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { check, type Scenario } from './scenario.js'

const here = fileURLToPath(new URL('.', import.meta.url))

export function paho(): Scenario[] {
  return [
    {
      name: 'paho for Python, levels 3, 4 and 5, each QoS',
      async play(scene) {
        // Debian's own Python: another one on the path does not know Debian's packages.
        const program = scene.run('/usr/bin/python3', [join(here, 'paho_python.py'), String(scene.broker.port), '100'])
        check((await program.ended) === 0, 'it failed')
      },
    },
    {
      name: 'paho for C, levels 3, 4 and 5, each QoS',
      async play(scene) {
        const built = join(scene.folder, 'paho')
        const compiler = scene.run('gcc', ['-O1', '-Wall', '-o', built, join(here, 'paho_c.c'), '-lpaho-mqtt3c'])
        check((await compiler.ended) === 0, 'it does not compile')
        const program = scene.run(built, [`tcp://127.0.0.1:${scene.broker.port}`, '30'])
        check((await program.ended) === 0, 'it failed')
      },
    },
  ]
}
