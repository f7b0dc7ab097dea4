import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { path, port, whole } from '../src/config/kinds.js'
import { loadFrom, loadSettings, makeSettings, type Sources, variableOf } from '../src/config/load.js'
import { rowsOf } from '../src/config/resolve.js'
import { Setting, table } from '../src/config/schema.js'
import { AqueductError } from '../src/core/errors.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-config-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function toml(text: string): string {
  const file = join(folder, 'aqueduct.toml')
  writeFileSync(file, text)
  return file
}

/** The sentence of the `bad_setting` that `fn` throws. */
function refusal(fn: () => unknown): string {
  try {
    fn()
  } catch (error) {
    expect(error).toBeInstanceOf(AqueductError)
    expect((error as AqueductError).code).toBe('bad_setting')
    return (error as AqueductError).message
  }
  throw new Error('nothing was refused')
}
const refused = (sources: Sources): string => refusal(() => loadSettings(sources))
const setTo = (...set: string[]) => loadSettings({ set }).settings

describe('defaults', () => {
  it('are those of the design', () => {
    expect(loadSettings({}).settings).toEqual({
      store: { path: './data', durability: 'fsync', min_free_bytes: 134_217_728, max_bytes: Infinity },
      mqtt: {
        host: '127.0.0.1',
        port: 1883,
        window: 32,
        max_inbound_qos2: 65_535,
        max_packet_bytes: 2_000_000,
        max_topic_aliases: 32,
        response_topics: '',
        server_reference: '',
        max_topic_levels: 200,
        max_output_bytes: 2_097_152,
        max_keepalive_s: 65_535,
        deny_subscribe: [],
        connect_timeout_s: 10,
        max_connections: 100_000,
        max_connecting: 10_000,
        max_connecting_bytes: 16_777_216,
        max_client_id_bytes: 65_535,
        max_wills: 100_000,
      },
      http: {
        host: '127.0.0.1',
        port: 8080,
        allow_origins: [],
        websocket_paths: ['/mqtt', '/'],
        max_body_bytes: 4 * 1024 * 1024,
        max_connections: 1_000,
        max_receiving_bytes: 67_108_864,
        max_sending_bytes: 67_108_864,
      },
      auth: { scram_file: null, scram_required: false },
      retry: { interval_ms: 30_000, max_attempts: 0 },
      session: {
        max_sessions: 100_000,
        max_subscriptions: 10_000,
        max_all_subscriptions: 1_000_000,
        max_memory_bytes: 0,
        expiry_s: 604_800,
        max_messages: 100_000,
        max_bytes: 268_435_456,
        overflow: 'drop_oldest',
      },
      retained: { max_messages: 100_000, max_bytes: 1_073_741_824, max_memory_bytes: 0 },
      queue: {
        max_messages: 1_000_000,
        max_bytes: 1_073_741_824,
        max_message_bytes: 2_097_152,
        retention_s: 345_600,
        overflow: 'reject',
      },
      bridge: {
        rules: [],
        max_rules: 10_000,
        max_when_bytes: 65_536,
        auto_rules: 'auto',
        max_auto_rules: 1_000,
        max_client_rules: 100,
        max_auto_queues: 1_000,
      },
      delayed: { max_messages: 1_000_000, max_bytes: 1_073_741_824 },
      share: { distribution: 'round_robin', groups: {}, max_groups: 10_000 },
      trace: { retain_s: 0, max_bytes: 268_435_456 },
      log: { level: 'info' },
      shutdown: { drain_s: 5 },
    })
  })

  it('are each allowed by their own row', () => {
    for (const { key, setting } of rowsOf(table)) {
      expect(setting.kind.accept(setting.default), key).toEqual(setting.default)
    }
  })

  it('have a variable each of their own', () => {
    const names = rowsOf(table).map(({ key }) => variableOf(key))
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain('AQUEDUCT_STORE_MIN_FREE_BYTES')
  })
})

describe('the order of sources', () => {
  const file = () => toml('[mqtt]\nport = 1\nwindow = 1\nmax_inbound_qos2 = 1\n')
  it('is defaults, file, environment, --set', () => {
    const { settings, origins } = loadSettings({
      file: file(),
      env: { AQUEDUCT_MQTT_WINDOW: '2', AQUEDUCT_MQTT_MAX_INBOUND_QOS2: '2', PATH: '/bin' },
      set: ['mqtt.max_inbound_qos2=3'],
    })
    const { port, window, max_inbound_qos2, connect_timeout_s } = settings.mqtt
    expect([connect_timeout_s, port, window, max_inbound_qos2]).toEqual([10, 1, 2, 3])
    expect(origins.get('mqtt.connect_timeout_s')).toBe('default')
    expect(origins.get('mqtt.port')).toMatch(/aqueduct\.toml$/)
    expect(origins.get('mqtt.window')).toBe('AQUEDUCT_MQTT_WINDOW')
    expect(origins.get('mqtt.max_inbound_qos2')).toBe('--set')
  })

  it('lets the last --set win', () => {
    expect(setTo('mqtt.port=1', 'mqtt.port=2').mqtt.port).toBe(2)
  })

  it('checks a value also where a later one replaces it', () => {
    expect(refused({ set: ['mqtt.port=x', 'mqtt.port=2'] })).toContain('mqtt.port = "x"')
  })
})

describe('raw text', () => {
  it('is taken as the type of the key says', () => {
    const settings = setTo(
      'store.path=7',
      'mqtt.port=off',
      'http.port=0',
      'store.min_free_bytes=1 GiB',
      'store.max_bytes=1.5MiB',
      'session.max_bytes=2048',
      'mqtt.deny_subscribe=["a/#","+/b"]',
    )
    expect(settings.store.path).toBe('7')
    expect(settings.mqtt.port).toBe('off')
    expect(settings.http.port).toBe(0)
    expect(settings.store.min_free_bytes).toBe(2 ** 30)
    expect(settings.store.max_bytes).toBe(1.5 * 2 ** 20)
    expect(settings.session.max_bytes).toBe(2048)
    expect(settings.mqtt.deny_subscribe).toEqual(['a/#', '+/b'])
  })

  it('may hold the equals sign and spaces', () => {
    expect(setTo('store.path=/tmp/a=b c').store.path).toBe('/tmp/a=b c')
  })

  it.each([
    'mqtt.port=65536',
    'mqtt.port=-1',
    'mqtt.port=1.5',
    'mqtt.port=',
    'mqtt.port=0x50',
    'mqtt.window=0',
    'mqtt.window=1e3',
    'session.max_messages=99999999999999999999',
    'store.path=',
    'store.durability=FSYNC',
    'store.max_bytes=1 MB',
    'store.max_bytes=0.3 B',
    'store.max_bytes=infinity',
    'mqtt.host=a b',
    'mqtt.deny_subscribe=a/#',
    'mqtt.deny_subscribe=["a/#/b"]',
    'mqtt.deny_subscribe=["a+"]',
    'mqtt.deny_subscribe=[""]',
    'mqtt.deny_subscribe=[1]',
    'session.overflow=reject',
  ])('refuses %s, naming key, value, place and what is allowed', (text) => {
    const [key, value] = text.split('=') as [string, string]
    const sentence = refused({ set: [text] })
    expect(sentence.startsWith(`${key} = ${JSON.stringify(value)} (from --set) is not allowed. Allowed is `), sentence).toBe(true)
  })
})

describe('a file', () => {
  it('gives typed values, in tables or with dotted keys', () => {
    const { settings } = loadSettings({
      file: toml('http.port = "off"\n[mqtt]\nport = 0\ndeny_subscribe = ["x"]\n[session]\nmax_bytes = "1 GiB"\n'),
    })
    expect(settings.http.port).toBe('off')
    expect(settings.mqtt.port).toBe(0)
    expect(settings.mqtt.deny_subscribe).toEqual(['x'])
    expect(settings.session.max_bytes).toBe(2 ** 30)
  })

  it.each([
    ['[mqtt]\nport = "1883"', 'mqtt.port = "1883"'],
    ['[mqtt]\nwindow = 1.5', 'mqtt.window = 1.5'],
    ['[mqtt]\ndeny_subscribe = "#"', 'mqtt.deny_subscribe = "#"'],
    ['mqtt = 1883', 'mqtt = 1883'],
    ['[store.path]\nx = 1', 'store.path = {"x":1}'],
    ['[mqtt.port]\nx = 1', 'mqtt.port = {"x":1}'],
    ['[mqtt]\nprt = 1', 'mqtt.prt = 1'],
    ['__proto__ = 1', '__proto__ = 1'],
    ['[constructor]\nx = 1', 'constructor = {"x":1}'],
  ])('refuses %j', (text, start) => {
    const sentence = refused({ file: toml(text) })
    expect(sentence.startsWith(`${start} (from ${folder}`), sentence).toBe(true)
  })

  it('that is not TOML is refused with line and column', () => {
    expect(refused({ file: toml('[mqtt]\nport =\n') })).toMatch(/aqueduct\.toml, line 2, column \d+: .*Allowed is TOML\.$/)
  })

  it('that is not there is refused by name', () => {
    expect(refused({ file: join(folder, 'none.toml') })).toMatch(/the settings file ".*none\.toml" cannot be read: .*ENOENT/)
  })
})

describe('an unknown key', () => {
  it.each([
    ['mqtt.prt=1', 'mqtt.port'],
    ['store.durabilty=os', 'store.durability'],
    ['durability=os', 'store.durability'],
    ['session.overflw=x', 'session.overflow'],
    ['retry.interval_s=3', 'retry.interval_ms'],
    ['MQTT.PORT=1', 'mqtt.port'],
  ])('%s is refused with the nearest known one', (text, meant) => {
    const sentence = refused({ set: [text] })
    expect(sentence).toContain(`${text.split('=')[0]} = "${text.split('=')[1]}" (from --set): there is no such setting.`)
    expect(sentence).toContain(`The nearest known key is ${meant}; allowed there is `)
  })

  it('in the environment is refused too', () => {
    expect(refused({ env: { AQUEDUCT_MQTT_PRT: '1' } })).toMatch(
      /^mqtt\.prt = "1" \(from AQUEDUCT_MQTT_PRT\).*nearest known key is mqtt\.port;/,
    )
  })

  it('may be absurdly long', () => {
    expect(refused({ set: [`${'x'.repeat(100_000)}=${'y'.repeat(100_000)}`] })).toContain('there is no such setting')
  })

  it('without a value is refused', () => {
    expect(refused({ set: ['mqtt.port'] })).toContain('Allowed is KEY=VALUE')
  })
})

describe('the environment', () => {
  it('ignores empty variables, those of others, and the links that Kubernetes sets', () => {
    const env = {
      AQUEDUCT_MQTT_PORT: '',
      HOME: '/',
      AQUEDUCT_PORT: 'tcp://10.0.0.1:1883',
      AQUEDUCT_PORT_1883_TCP: 'tcp://10.0.0.1:1883',
      AQUEDUCT_PORT_1883_TCP_ADDR: '10.0.0.1',
      AQUEDUCT_SERVICE_HOST: '10.0.0.1',
      AQUEDUCT_SERVICE_PORT: '1883',
      AQUEDUCT_SERVICE_PORT_MQTT: '1883',
    }
    expect(loadSettings({ env }).settings).toEqual(makeSettings())
  })
})

describe('a secret', () => {
  const secrets = {
    auth: {
      token: new Setting(path, '', '', 'A token.', { secret: true }),
      count: new Setting(whole(1, 9), 1, '', 'No secret.'),
    },
    mail: { smtp: { port: new Setting(port, 'off' as const, '', 'Three levels deep.') } },
  }

  it('may come from a file, without the last line end', () => {
    writeFileSync(join(folder, 'token'), 'hush hush\n')
    const { settings, origins } = loadFrom(secrets, { env: { AQUEDUCT_AUTH_TOKEN_FILE: join(folder, 'token') } })
    expect(settings.auth.token).toBe('hush hush')
    expect(origins.get('auth.token')).toBe('AQUEDUCT_AUTH_TOKEN_FILE')
  })

  it('is never shown', () => {
    writeFileSync(join(folder, 'bad'), 'hush\0hush')
    for (const sentence of [
      refusal(() => loadFrom(secrets, { env: { AQUEDUCT_AUTH_TOKEN_FILE: join(folder, 'bad') } })),
      refusal(() => loadFrom(secrets, { set: ['auth.tokn=hush'] })),
    ]) {
      expect(sentence).not.toContain('hush')
      expect(sentence).toContain('auth.tok')
    }
  })

  it('is refused when given twice, and other keys have no _FILE', () => {
    const env = { AQUEDUCT_AUTH_TOKEN_FILE: join(folder, 'token'), AQUEDUCT_AUTH_TOKEN: 'x' }
    expect(refusal(() => loadFrom(secrets, { env }))).toContain('Allowed is one of them.')
    expect(refusal(() => loadFrom(secrets, { env: { AQUEDUCT_AUTH_COUNT_FILE: 'x' } }))).toContain('auth.count')
    expect(refusal(() => loadFrom(secrets, { env: { AQUEDUCT_AUTH_TOKEN_FILE: join(folder, 'none') } }))).toContain(
      'cannot be read',
    )
  })

  it('and any other row may stand deeper', () => {
    expect(loadFrom(secrets, { env: { AQUEDUCT_MAIL_SMTP_PORT: '25' } }).settings.mail.smtp.port).toBe(25)
  })
})

describe('a users file', () => {
  it('is none, or a path; the word none is not one', () => {
    expect(setTo('auth.scram_file=users').auth.scram_file).toBe('users')
    expect(setTo('auth.scram_file=./none').auth.scram_file).toBe('./none')
    expect(setTo('auth.scram_file=users', 'auth.scram_file=none').auth.scram_file).toBeNull()
    expect(makeSettings({ auth: { scram_file: null } }).auth.scram_file).toBeNull()
    expect(refused({ set: ['auth.scram_file='] })).toContain('auth.scram_file = "" (from --set) is not allowed')
  })

  it('is there when SCRAM is required', () => {
    expect(refused({ set: ['auth.scram_required=true'] })).toMatch(/^auth\.scram_required = true and auth\.scram_file = "none" /)
    expect(setTo('auth.scram_required=true', 'auth.scram_file=users').auth.scram_required).toBe(true)
    expect(refused({ set: ['auth.scram_required=yes'] })).toContain('Allowed is true or false.')
  })
})

describe('listeners beyond loopback', () => {
  it.each(['0.0.0.0', '::', '192.0.2.7', 'example.org', '::ffff:192.0.2.7', '127.0.0.1.example.org', '128.0.0.1'])(
    '%s needs auth',
    (host) => {
      expect(refused({ set: [`mqtt.host=${host}`] })).toMatch(/^mqtt\.host = .*\bauth\b/)
      expect(refused({ set: [`http.host=${host}`] })).toMatch(/^http\.host = .*\bauth\b/)
      expect(setTo(`http.host=${host}`, 'http.port=off').http.port).toBe('off')
    },
  )

  it('stay closed with SCRAM, which protects passwords and no messages', () => {
    const auth = ['auth.scram_file=users', 'auth.scram_required=true']
    expect(refused({ set: [...auth, 'mqtt.host=0.0.0.0'] })).toMatch(/^mqtt\.host = .*auth\.scram_required .* unprotected/)
  })

  it.each(['localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1'])('%s is loopback', (host) => {
    expect(setTo(`mqtt.host=${host}`).mqtt.host).toBe(host)
  })
})

describe('settings made in a program', () => {
  it('are checked like any other', () => {
    expect(makeSettings({ mqtt: { port: 0 }, session: { max_bytes: '1 MiB' } }).session.max_bytes).toBe(2 ** 20)
    expect(makeSettings({ store: { max_bytes: Infinity } }).store.max_bytes).toBe(Infinity)
    expect(refusal(() => makeSettings({ mqtt: { port: 70_000 } }))).toContain('mqtt.port = 70000 (from the program)')
    expect(refusal(() => makeSettings({ mqtt: { port: undefined } } as never))).toContain('mqtt.port = undefined')
    expect(refusal(() => makeSettings({ mqtt: { host: '0.0.0.0' } }))).toContain('auth')
  })

  it('are frozen to the last list, whatever the caller does with its own', () => {
    const mine = ['a']
    const settings = makeSettings({ mqtt: { deny_subscribe: mine } })
    mine.push('b')
    expect(settings.mqtt.deny_subscribe).toEqual(['a'])
    for (const part of [settings, settings.mqtt, settings.mqtt.deny_subscribe, makeSettings().mqtt.deny_subscribe]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })
})
