/**
 * THE table of settings: a row says key, type, unit, range, default and one sentence. From it come the `Settings` type, validation,
 * the environment names, `config/reference.md` and `config/aqueduct.example.toml`. A new setting is a new row here, and
 * `npm run docs`.
 */
import { PACKET_BYTES_MAX, PACKET_ID_MAX, RETENTION_S_MAX, STRING_BYTES_MAX } from '../core/limits.js'
import { parseOrigin } from '../core/origin.js'
import { filterFault, topicFault } from '../topics/names.js'
import {
  choice,
  host,
  type Kind,
  listOf,
  type Plain,
  path,
  pathOrNone,
  port,
  size,
  sizeOrNone,
  tableOf,
  tablesOf,
  textOrNone,
  whole,
  yesNo,
} from './kinds.js'

/** One row. `text` is one sentence, or a few short ones, in plain words. */
export class Setting<T> {
  readonly kind: Kind<T>
  readonly default: T
  readonly unit: string
  readonly text: string
  /** Never printed; its variable may be given as `…_FILE`, the name of a file that holds it. */
  readonly secret: boolean
  constructor(kind: Kind<T>, fallback: T, unit: string, text: string, options: { secret?: boolean } = {}) {
    this.kind = kind
    this.default = fallback
    this.unit = unit
    this.text = text
    this.secret = options.secret ?? false
  }
}

export interface Table {
  readonly [name: string]: Setting<unknown> | Table
}

/** The values that a table describes, in its own nesting: `settings.mqtt.port`. */
export type Values<T> = { readonly [K in keyof T]: T[K] extends Setting<infer V> ? V : Values<T[K]> }
/** Some of them, as a program passes them; byte counts may be text (`'1 MiB'`). */
export type Given<T> = { readonly [K in keyof T]?: T[K] extends Setting<infer V> ? V | string : Given<T[K]> }

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const TIB = 1024 * GIB
const COUNT_MAX = 1_000_000_000_000

/** As the plugin that hands out knows them. */
const DISTRIBUTIONS = ['round_robin', 'least_in_flight', 'sticky', 'hash_client', 'hash_topic'] as const

function row<T>(kind: Kind<T>, fallback: T, unit: string, text: string): Setting<T> {
  return new Setting(kind, fallback, unit, text)
}

/** Any depth: how deep a filter may be is `mqtt.max_topic_levels`, a row of its own. */
const isFilter = (text: string): boolean => filterFault(text, STRING_BYTES_MAX + 1) === undefined

const isTopic = (text: string): boolean => topicFault(text, STRING_BYTES_MAX + 1) === undefined

const isReference = (text: string): boolean => text.length <= 1024 && !text.includes('\0')

const isOrigin = (text: string): boolean => text === '*' || parseOrigin(text) !== undefined

/** As a request line has it, without a query. */
const isUrlPath = (text: string): boolean => text.length <= 1024 && /^\/[\w.~!$&'()*+,;=:@%/-]*$/.test(text)

export const table = {
  store: {
    path: row(path, './data', '', 'The data folder. It is made with its parents; all state is inside it.'),
    durability: row(
      choice('fsync', 'os', 'memory'),
      'fsync',
      '',
      'What an acknowledgement means. fsync: flushed to the disk, survives a power cut. os: handed to the operating system, survives a ' +
        'killed process. memory: nothing is written, all is gone when the process ends.',
    ),
    min_free_bytes: row(
      size(0, 1024 * TIB),
      128 * MIB,
      'bytes',
      'Free space below which new messages are refused, while acknowledgements and deletes still pass.',
    ),
    max_bytes: row(sizeOrNone(MIB, 1024 * TIB), Infinity, 'bytes', 'The most that the stored messages may take on the disk.'),
  },
  mqtt: {
    host: row(
      host,
      '127.0.0.1',
      '',
      'The address that the MQTT listener opens on. Only addresses of this machine (loopback) can be set as yet.',
    ),
    port: row(port, 1883, '', 'The port of MQTT over TCP.'),
    window: row(
      whole(1, PACKET_ID_MAX),
      32,
      'messages',
      'QoS 1 and 2 messages that may be on their way to one client without its acknowledgement.',
    ),
    max_inbound_qos2: row(
      whole(1, PACKET_ID_MAX),
      PACKET_ID_MAX,
      'messages',
      'QoS 1 and 2 messages that an MQTT 5 client may have begun and not completed: its Receive Maximum; one more closes its connection. ' +
        'Clients of MQTT 3 cannot be told and are bounded by their packet identifiers alone.',
    ),
    max_packet_bytes: row(
      size(KIB, PACKET_BYTES_MAX),
      2_000_000,
      'bytes',
      'The largest packet that a client may send, refused by its declared length before anything is buffered. Before CONNECT is ' +
        'accepted it is 512 KiB at most.',
    ),
    max_topic_aliases: row(
      whole(0, 65_535),
      32,
      'topics',
      'Topics that an MQTT 5 client may give a number to, and the most that this broker numbers for one client that allows it. 0: none.',
    ),
    max_topic_levels: row(
      whole(1, 65_536),
      200,
      'levels',
      'The deepest topic. A deeper PUBLISH closes the connection, a deeper filter is refused.',
    ),
    max_output_bytes: row(
      size(16 * KIB, 16 * GIB),
      2 * MIB,
      'bytes',
      'Bytes that may wait in memory for one slow client. Beyond it QoS 0 messages to that client are dropped and counted; and a client that has so many bytes of answers to take is not read until it took them.',
    ),
    max_keepalive_s: row(
      whole(1, 65_535),
      65_535,
      'seconds',
      'The longest keep alive. A client that asks for more, or for none, is held to this; 65535 holds nobody to anything.',
    ),
    deny_subscribe: row(
      listOf('MQTT topic filters', '#', isFilter),
      Object.freeze([] as string[]),
      '',
      'Topics, as filters, that no client gets by subscribing. A filter that matches nothing else is refused in the SUBACK; a wider one gets the rest.',
    ),
    response_topics: row(
      textOrNone('a topic, such as answers/{client}', isTopic),
      '',
      '',
      'Where an MQTT 5 client that asks for it is told to expect answers; {client} stands for its identifier.',
    ),
    server_reference: row(
      textOrNone('up to 1024 characters, such as other.example:1883', isReference),
      '',
      '',
      'Another server that MQTT 5 clients are told to move to when this one stops.',
    ),
    connect_timeout_s: row(whole(1, 3600), 10, 'seconds', 'How long a new connection may take to send its CONNECT.'),
    max_connections: row(
      whole(1, 10_000_000),
      100_000,
      'clients',
      'Clients that may be connected at once; one more is told so in its CONNACK. Fewer where the system allows this process fewer file ' +
        'descriptors.',
    ),
    max_connecting: row(
      whole(1, 1_000_000),
      10_000,
      'connections',
      'Connections that have not come past CONNECT; for one more, the one that has waited longest without sending CONNECT is closed.',
    ),
    max_connecting_bytes: row(
      size(128 * KIB, 16 * GIB),
      16 * MIB,
      'bytes',
      'What these may hold in memory together of a CONNECT that has not come whole; beyond it the one that has waited longest is closed.',
    ),
    max_client_id_bytes: row(
      whole(23, STRING_BYTES_MAX),
      STRING_BYTES_MAX,
      'bytes',
      'The longest client identifier of a new session; what long ones take counts for session.max_memory_bytes.',
    ),
    max_wills: row(
      whole(0, 10_000_000),
      100_000,
      'wills',
      'Wills of connected clients, and those that wait for their delay; a CONNECT that brings one more is refused.',
    ),
  },
  http: {
    host: row(
      host,
      '127.0.0.1',
      '',
      'The address that the HTTP listener opens on. Only addresses of this machine (loopback) can be set as yet.',
    ),
    port: row(port, 8080, '', 'The port of HTTP (JSON API, metrics, health) and of MQTT over WebSocket.'),
    allow_origins: row(
      listOf('web origins, or "*" for any', 'https://dash.example', isOrigin),
      Object.freeze([] as string[]),
      '',
      'Web pages of these origins may use the HTTP API and open MQTT over WebSocket. Pages that came from the address they connect to or ' +
        'from this machine, and programs that are no browser, may without being listed.',
    ),
    websocket_paths: row(
      listOf('paths', '/mqtt', isUrlPath),
      Object.freeze(['/mqtt', '/']),
      '',
      'Where MQTT over WebSocket is: upgrade requests with the subprotocol mqtt, and only these. None: it is off.',
    ),
    max_connections: row(
      whole(1, 1_000_000),
      1_000,
      'connections',
      'HTTP connections at once, those of WebSockets left out; for one more, the one that has been idle longest is closed.',
    ),
    max_receiving_bytes: row(
      size(64 * KIB, 64 * GIB),
      64 * MIB,
      'bytes',
      'What the bodies of all requests under way may take in memory, the first 64 KiB of each left out; beyond it a request is answered with 503 and ' +
        'Retry-After.',
    ),
    max_sending_bytes: row(
      size(64 * KIB, 64 * GIB),
      64 * MIB,
      'bytes',
      'What large answers that clients have not taken may take in memory; beyond it the one that has been on its way longest is cut.',
    ),
    max_body_bytes: row(
      size(64 * KIB, PACKET_BYTES_MAX),
      4 * MIB,
      'bytes',
      'The largest JSON body of a request, a batch of messages among them. A message sent as it is is bounded by its queue instead.',
    ),
  },
  auth: {
    scram_file: row(
      pathOrNone,
      null,
      '',
      'A file of users who may authenticate by SCRAM-SHA-256 over MQTT 5, a line of `aqueduct scram-user` for each. It is read again ' +
        'when it has changed; while it has a bad line, or is gone, the list before it stays in force.',
    ),
    scram_required: row(
      yesNo,
      false,
      '',
      'Refuse every MQTT client that does not authenticate by SCRAM-SHA-256, those of MQTT 3.1.1 included. It needs `auth.scram_file`. ' +
        'HTTP is not covered by it.',
    ),
  },
  retry: {
    interval_ms: row(
      whole(0, 86_400_000),
      30_000,
      'milliseconds',
      'How long a delivery waits for its acknowledgement before it is sent again with DUP; each further wait is longer. 0: only on ' +
        'reconnect.',
    ),
    max_attempts: row(
      whole(0, 1_000_000),
      0,
      'attempts',
      'Deliveries after which a message that is still not acknowledged goes to the dead-letter queue. 0: no limit.',
    ),
  },
  session: {
    max_sessions: row(
      whole(0, 10_000_000),
      100_000,
      'sessions',
      'Stored sessions, connected or not; a CONNECT that would make one more is refused. Sessions that are there can always be taken up.',
    ),
    max_subscriptions: row(
      whole(1, 10_000_000),
      10_000,
      'subscriptions',
      'Subscriptions that one session may have; the SUBACK refuses one more.',
    ),
    max_all_subscriptions: row(
      whole(1, 100_000_000),
      1_000_000,
      'subscriptions',
      'Subscriptions that all sessions together may have; the SUBACK refuses one more.',
    ),
    max_memory_bytes: row(
      size(0, 1024 * GIB),
      0,
      'bytes',
      'What sessions, their names, subscriptions and wills may take of the memory of the process, as reckoned; beyond it new ones are ' +
        'refused. 0: a quarter of the heap that Node.js allows.',
    ),
    expiry_s: row(
      whole(1, 4_294_967_295),
      604_800,
      'seconds',
      'How long a session without a connection is kept, with its subscriptions and messages. The most that an MQTT 5 client gets; 4294967295: for ever. Here as in all durations time that passed counts, not a step of the wall clock.',
    ),
    max_messages: row(whole(1, COUNT_MAX), 100_000, 'messages', 'Messages that may wait in one session.'),
    max_bytes: row(size(KIB, 1024 * TIB), 256 * MIB, 'bytes', 'Bytes of messages that may wait in one session.'),
    overflow: row(
      choice('drop_oldest', 'drop_newest'),
      'drop_oldest',
      '',
      'Which message a full session loses, counted. A full session never holds up a publisher.',
    ),
  },
  retained: {
    max_messages: row(
      whole(0, 100_000_000),
      100_000,
      'messages',
      'Retained messages. A message that would be one more is refused: MQTT 5 is told 0x97, before it the connection is closed; at QoS 0 it is ' +
        'delivered and not retained. The message of a topic that has one can always be replaced or removed.',
    ),
    max_bytes: row(
      size(0, 1024 * TIB),
      GIB,
      'bytes',
      'What retained messages may take on the disk, topics among it; beyond it they are refused, but for one that replaces a larger one.',
    ),
    max_memory_bytes: row(
      size(0, 1024 * GIB),
      0,
      'bytes',
      'What the topics of retained messages may take of the memory of the process, as reckoned; beyond it new topics are refused. 0: an eighth ' +
        'of the heap that Node.js allows.',
    ),
  },
  bridge: {
    rules: row(
      tablesOf('bridge rules, each with a name', {
        name: 'telemetry',
        filter: 'devices/+/telemetry',
        queue: 'telemetry',
        key: '{1}',
      }),
      Object.freeze([] as Plain[]),
      '',
      'Rules that copy topics into pull queues. They cannot be changed while the broker runs; others can be made through the API.',
    ),
    max_rules: row(whole(0, 1_000_000), 10_000, 'rules', 'Bridge rules there may be, those of the settings included.'),
    max_when_bytes: row(
      size(0, MIB),
      64 * KIB,
      'bytes',
      'The longest payload that the condition of a bridge rule looks into; for a longer one it has no answer and the rule makes no copy.',
    ),
    auto_rules: row(
      choice('auto', 'yes', 'no'),
      'auto',
      '',
      'Whether subscribing $queue/{name}/{filter} makes the queue and the rule that fills it. auto: while nobody has to authenticate.',
    ),
    max_auto_rules: row(
      whole(0, 1_000_000),
      1_000,
      'rules',
      'Bridge rules that subscriptions may make; a subscription that needs one more is refused.',
    ),
    max_client_rules: row(whole(0, 1_000_000), 100, 'rules', 'Of these, those that subscriptions of one client made.'),
    max_auto_queues: row(
      whole(0, 1_000_000),
      1000,
      'queues',
      'Queues that bridge rules may make by themselves; a copy that would need one more is refused and counted.',
    ),
  },
  queue: {
    max_messages: row(
      whole(1, 1_000_000_000),
      1_000_000,
      'messages',
      'Messages that a new pull queue holds, unless whoever makes it says otherwise.',
    ),
    max_bytes: row(
      size(1, 2 ** 50),
      GIB,
      'bytes',
      'Bytes of messages that a new pull queue holds, unless whoever makes it says otherwise.',
    ),
    max_message_bytes: row(
      size(1, PACKET_BYTES_MAX),
      2 * MIB,
      'bytes',
      'Bytes of one message, its topic among them, that a new pull queue takes, unless whoever makes it says otherwise. The largest packet of MQTT fits by default.',
    ),
    retention_s: row(
      whole(0, RETENTION_S_MAX),
      345_600,
      'seconds',
      'How long a new pull queue keeps a message, unless whoever makes it says otherwise; the standard is four days. 0: for ever.',
    ),
    overflow: row(
      choice('reject', 'drop_oldest', 'drop_newest'),
      'reject',
      '',
      'What a new pull queue does when it is full, unless whoever makes it says otherwise. reject: who sends is told; a bridged copy is not ' +
        'made, and counted.',
    ),
  },
  delayed: {
    max_messages: row(
      whole(1, 1_000_000_000),
      1_000_000,
      'messages',
      'Messages published to $delayed/{s}/{topic} that may wait for their moment; one more is refused.',
    ),
    max_bytes: row(size(1, 1024 * TIB), GIB, 'bytes', 'Bytes of messages that may wait for their moment.'),
  },
  share: {
    distribution: row(
      choice(...DISTRIBUTIONS),
      'round_robin',
      '',
      'Which member of a shared subscription ($share) or consumer of a queue ($queue) gets the next message. round_robin: the next that can ' +
        'take it. least_in_flight: the one with the fewest unacknowledged. sticky: the same while it can. hash_client, hash_topic: always the ' +
        'same one for a publisher or a topic, so that their messages stay in order.',
    ),
    groups: row(
      tableOf('group names or "$queue/{name}"', '{"jobs": "hash_topic"}', DISTRIBUTIONS),
      Object.freeze({}) as Readonly<Record<string, (typeof DISTRIBUTIONS)[number]>>,
      '',
      'The distribution of single groups and queues, where it is not share.distribution.',
    ),
    max_groups: row(
      whole(1, 1_000_000),
      10_000,
      'groups',
      'Shared subscriptions ($share) of different group or filter that there may be.',
    ),
  },
  trace: {
    retain_s: row(
      whole(0, 31_536_000),
      0,
      'seconds',
      'How long it is remembered how each message left each queue. 0: not at all; what still waits is always known.',
    ),
    max_bytes: row(
      size(MIB, 1024 * TIB),
      256 * MIB,
      'bytes',
      'Bytes that this may take; beyond it the oldest is forgotten first.',
    ),
  },
  log: {
    level: row(
      choice('debug', 'info', 'warn', 'error', 'silent'),
      'info',
      '',
      'The least severe lines that are logged, as JSON on stderr.',
    ),
  },
  shutdown: {
    drain_s: row(
      whole(1, 3600),
      5,
      'seconds',
      'How long a stop may take to finish commits and close clients; after it the program ends with exit code 1.',
    ),
  },
} as const satisfies Table

export type Settings = Values<typeof table>
export type SettingsInput = Given<typeof table>
