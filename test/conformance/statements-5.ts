/** The normative statements of MQTT 5.0 (Appendix B), in our words, each with the tests that show it. */
import type { Standard } from './statement.js'
import { behaviourStatements } from './statements-5-behaviour.js'
import { connectStatements } from './statements-5-connect.js'
import { packetsStatements } from './statements-5-packets.js'

export const mqtt5: Standard = {
  name: 'MQTT 5.0',
  url: 'https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html',
  count: 251,
  statements: [...connectStatements, ...packetsStatements, ...behaviourStatements],
}
