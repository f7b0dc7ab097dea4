/** The normative statements of MQTT 5.0 (Appendix B): sections 4 and 6. */
import { both, client, type Statement, server, testsOf } from './statement.js'

const auth = testsOf('test/conformance/five-auth.test.ts')
const connect = testsOf('test/conformance/five-connect.test.ts')
const upgrade = testsOf('test/listener-websocket.test.ts')
const malformed = testsOf('test/conformance/five-malformed.test.ts')
const mqttjs = testsOf('test/clients/mqttjs.test.ts')
const publish = testsOf('test/conformance/five-publish.test.ts')
const qos = testsOf('test/conformance/five-qos.test.ts')
const session = testsOf('test/conformance/five-session.test.ts')
const shared = testsOf('test/conformance/five-shared.test.ts')
const subscribe = testsOf('test/conformance/five-subscribe.test.ts')
const frames = testsOf('test/wire/websocket-frames.test.ts')
const websocket = testsOf('test/conformance/five-websocket.test.ts')
const everyVersion = testsOf('test/wire/qos.test.ts')
const expiry = testsOf('test/message-expiry.test.ts')
const SENT_AGAIN = 'level %i: what was sent and not acknowledged is sent again with DUP, though it has expired'

export const behaviourStatements: readonly Statement[] = [
  both(
    '4.1.0-1',
    'Session state is kept while the connection is open.',
    session('the session expiry interval > does not run while there is a connection, and begins anew with each'),
  ),
  server(
    '4.1.0-2',
    'Session state is discarded when its expiry interval has passed without a connection.',
    session('the session expiry interval > is how long it outlives its connection, with all that waits in it'),
  ),
  both(
    '4.2-1',
    'It speaks over an ordered, lossless, two-way stream of bytes.',
    mqttjs('%s, MQTT 5: properties, identifiers and reasons arrive'),
  ),
  both(
    '4.3.1-1',
    'At QoS 0 the sender sends a PUBLISH with QoS 0 and without DUP.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
  ),
  both(
    '4.3.2-1',
    'At QoS 1 the sender uses a free identifier for each new message.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
    everyVersion('an identifier is not given out again while it is in use, all the way round'),
  ),
  both(
    '4.3.2-2',
    'At QoS 1 the sender sends QoS 1 without DUP.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
  ),
  both(
    '4.3.2-3',
    'At QoS 1 the sender keeps the message until PUBACK.',
    qos('to a subscriber > what has no answer comes again after a reconnect: same identifier, DUP, old order'),
  ),
  both(
    '4.3.2-4',
    'At QoS 1 the receiver answers with PUBACK and the identifier.',
    publish('topics and QoS > each QoS has its answer, with the identifier of its PUBLISH'),
  ),
  both(
    '4.3.2-5',
    'Behind PUBACK the same identifier is a new message, with DUP or without.',
    qos('from a publisher > behind PUBACK the identifier is a new message, with DUP or without'),
  ),
  both(
    '4.3.3-1',
    'At QoS 2 the sender uses a free identifier for each new message.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
  ),
  both(
    '4.3.3-2',
    'At QoS 2 the sender sends QoS 2 without DUP.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
  ),
  both(
    '4.3.3-3',
    'At QoS 2 the sender keeps the message until PUBREC.',
    qos('to a subscriber > what has no answer comes again after a reconnect: same identifier, DUP, old order'),
  ),
  both(
    '4.3.3-4',
    'PUBREC below 0x80 is answered with PUBREL and the same identifier.',
    qos('to a subscriber > a whole QoS 2 delivery: PUBLISH, PUBREC, PUBREL, PUBCOMP'),
  ),
  both(
    '4.3.3-5',
    'The sender keeps PUBREL until PUBCOMP.',
    qos('to a subscriber > behind PUBREC it is PUBREL that comes again, until PUBCOMP, and the PUBLISH no more'),
  ),
  both(
    '4.3.3-6',
    'Behind PUBREL the PUBLISH is not sent again.',
    qos('to a subscriber > behind PUBREC it is PUBREL that comes again, until PUBCOMP, and the PUBLISH no more'),
  ),
  both(
    '4.3.3-7',
    'A message whose PUBLISH was sent does not expire.',
    publish('message expiry > does not touch what was sent: a QoS 2 handshake ends as it began'),
    expiry(SENT_AGAIN),
  ),
  both(
    '4.3.3-8',
    'At QoS 2 the receiver answers with PUBREC and the identifier.',
    publish('topics and QoS > each QoS has its answer, with the identifier of its PUBLISH'),
  ),
  both(
    '4.3.3-9',
    'Behind a PUBREC of 0x80 or more the same identifier is a new message.',
    qos('from a publisher > behind a PUBREC that refuses, the identifier is a new message'),
  ),
  both(
    '4.3.3-10',
    'Until PUBREL the same identifier is answered with PUBREC and not handed on twice.',
    qos('from a publisher > until PUBREL a repetition is answered and not handed on; behind PUBCOMP the identifier is new'),
  ),
  both(
    '4.3.3-11',
    'PUBREL is answered with PUBCOMP and the same identifier.',
    publish('topics and QoS > each QoS has its answer, with the identifier of its PUBLISH'),
  ),
  both(
    '4.3.3-12',
    'Behind PUBCOMP the same identifier is a new message.',
    qos('from a publisher > until PUBREL a repetition is answered and not handed on; behind PUBCOMP the identifier is new'),
  ),
  both(
    '4.3.3-13',
    'The handshake goes on also when the message has expired.',
    publish('message expiry > does not touch what was sent: a QoS 2 handshake ends as it began'),
  ),
  both(
    '4.4.0-1',
    'What is unacknowledged is sent again after a reconnect, under its identifier, and at no other time.',
    qos('to a subscriber > nothing is sent again on a live connection, however long it takes'),
    expiry(SENT_AGAIN),
  ),
  both(
    '4.4.0-2',
    'PUBACK or PUBREC of 0x80 or more acknowledges, too: nothing is sent again.',
    qos('to a subscriber > PUBACK or PUBREC of 0x80 or more ends the delivery: nothing comes again, and there is no PUBREL'),
  ),
  server(
    '4.5.0-1',
    'A message that is accepted is in the session of every matching subscription.',
    subscribe('SUBSCRIBE > makes a message that is accepted part of each session that asks for it'),
  ),
  client('4.5.0-2', 'A client acknowledges what it receives, whether it uses it or not.'),
  both(
    '4.6.0-1',
    'PUBLISHes are sent again in the order in which they were first sent.',
    qos('to a subscriber > what has no answer comes again after a reconnect: same identifier, DUP, old order'),
  ),
  client('4.6.0-2', 'A client sends PUBACKs in the order of the PUBLISHes.'),
  client('4.6.0-3', 'A client sends PUBRECs in the order of the PUBLISHes.'),
  client('4.6.0-4', 'A client sends PUBRELs in the order of the PUBRECs.'),
  server(
    '4.6.0-5',
    'Deliveries of one publisher, topic and QoS have the order in which they came.',
    publish('topics and QoS > deliveries of one publisher, topic and QoS keep their order'),
  ),
  server(
    '4.6.0-6',
    'Every topic is an ordered topic for subscriptions that are not shared.',
    publish('topics and QoS > deliveries of one publisher, topic and QoS keep their order'),
  ),
  both(
    '4.7.0-1',
    'Wildcards are for filters, never for topic names.',
    malformed('PUBLISH > without a topic: 0x82; with wildcards; with fields that end early: 0x81'),
  ),
  both('4.7.1-1', '# is a level of its own and the last one.', malformed('SUBSCRIBE and UNSUBSCRIBE > filters that are none')),
  both('4.7.1-2', '+ is a level of its own, at any place.', malformed('SUBSCRIBE and UNSUBSCRIBE > filters that are none')),
  server(
    '4.7.2-1',
    'A leading wildcard does not match a topic that begins with $.',
    publish('topics and QoS > a leading wildcard does not match a topic that begins with $'),
  ),
  both(
    '4.7.3-1',
    'Topic names and filters have at least one character.',
    malformed('PUBLISH > without a topic: 0x82; with wildcards; with fields that end early: 0x81'),
    malformed('PUBLISH > an empty response topic, in PUBLISH and in a will'),
    malformed('SUBSCRIBE and UNSUBSCRIBE > filters that are none'),
  ),
  both(
    '4.7.3-2',
    'Topic names and filters do not contain U+0000.',
    malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81'),
  ),
  both(
    '4.7.3-3',
    'Topic names and filters have at most 65,535 bytes.',
    publish('topics and QoS > topic names and filters may have 65,535 bytes'),
  ),
  server(
    '4.7.3-4',
    'Matching changes no character.',
    publish('topics and QoS > no character is changed on the way, nor in matching'),
  ),
  both(
    '4.8.2-1',
    'A shared filter begins with $share/ and a name of at least one character.',
    malformed('SUBSCRIBE and UNSUBSCRIBE > shared filters that are none'),
    shared('a group > shares each message out to one member, whatever its QoS; others are as ever'),
  ),
  both(
    '4.8.2-2',
    'The name has no /, + or # and is followed by / and a filter.',
    malformed('SUBSCRIBE and UNSUBSCRIBE > shared filters that are none'),
    shared('a group > shares each message out to one member, whatever its QoS; others are as ever'),
  ),
  server(
    '4.8.2-3',
    'A shared delivery respects the QoS that its client was granted.',
    shared('the QoS of a shared delivery > is the lower of the message and what its member was granted'),
  ),
  server(
    '4.8.2-4',
    'A QoS 2 delivery that was begun is completed with that client when it comes back.',
    shared('a QoS 2 delivery that was begun > is completed with its client when that comes back, and goes to nobody else'),
  ),
  server(
    '4.8.2-5',
    'A QoS 2 delivery that was begun goes to nobody else when the session of its client ends.',
    shared('a QoS 2 delivery that was begun > goes to nobody else when the session of its client ends'),
  ),
  server(
    '4.8.2-6',
    'A delivery that is refused with 0x80 or more is discarded and goes to nobody else.',
    shared('a delivery that is refused > with 0x80 or more is discarded: nobody gets it again'),
  ),
  both(
    '4.9.0-1',
    'The send quota begins above 0 and not above the Receive Maximum.',
    qos('Receive Maximum of the client > is the most that is unacknowledged; each acknowledgement lets one more in'),
  ),
  both(
    '4.9.0-2',
    'At quota 0 no PUBLISH above QoS 0 is sent.',
    qos('Receive Maximum of the client > is the most that is unacknowledged; each acknowledgement lets one more in'),
    qos('Receive Maximum of the client > also holds for what comes again after a reconnect'),
  ),
  both(
    '4.9.0-3',
    'At quota 0 all other packets are handled as ever.',
    qos('Receive Maximum of the client > holds back nothing else: QoS 0, SUBACK, PINGRESP and what the client publishes go on'),
  ),
  server(
    '4.12.0-1',
    'An authentication method that is not known closes the connection, with 0x8C or 0x87 if it is answered.',
    connect('refusals > of a method of authentication that is not known: 0x8C, and never an AUTH'),
  ),
  server(
    '4.12.0-2',
    'A server that needs more to authenticate sends AUTH 0x18.',
    auth('before CONNACK > the server asks on with AUTH 0x18, and every packet names the method'),
  ),
  client('4.12.0-3', 'A client answers with AUTH 0x18.'),
  server(
    '4.12.0-4',
    'A server that refuses the authentication closes, with CONNACK of 0x80 or more if it answers.',
    auth('before CONNACK > a refusal is a CONNACK of 0x80 or more, and the end; nothing of the client has happened'),
  ),
  both(
    '4.12.0-5',
    'AUTH and a CONNACK of success carry the authentication method of CONNECT.',
    auth('before CONNACK > the server asks on with AUTH 0x18, and every packet names the method'),
  ),
  server(
    '4.12.0-6',
    'Without a method in CONNECT there is no AUTH, and no method in CONNACK.',
    connect('CONNACK > has response information only for those who asked, and no method where none was named'),
  ),
  client('4.12.0-7', 'Without a method in CONNECT a client sends no AUTH.'),
  client('4.12.1-1', 'A client authenticates again with the method of its CONNECT.'),
  both(
    '4.12.1-2',
    'An authentication that fails later closes the connection, with DISCONNECT if it is told.',
    auth('after CONNACK > when that fails, the connection ends with DISCONNECT, and the will is sent'),
  ),
  server(
    '4.13.1-1',
    'A malformed packet or a protocol error closes the connection.',
    malformed('the rest > what is wrong closes one connection and no other, and what came before it counts'),
  ),
  both(
    '4.13.2-1',
    'A CONNACK or DISCONNECT of 0x80 or more is followed by the end of the connection, also when it could not be sent.',
    malformed('the rest > what is wrong closes one connection and no other, and what came before it counts'),
  ),
  both(
    '6.0.0-1',
    'MQTT over WebSocket uses binary frames; others close the connection.',
    websocket('a text frame closes the connection'),
    upgrade('an MQTT connection over WebSocket > closes on a text frame'),
  ),
  both(
    '6.0.0-2',
    'Packets do not end where frames end.',
    websocket('packets may be cut anywhere, and many may share a frame; the subprotocol is mqtt'),
    upgrade('an MQTT connection over WebSocket > takes packets cut anywhere'),
    frames('many packets in one frame, more than one packet may have together'),
    frames('one packet in many frames, in many parts of one message, with pings between them'),
  ),
  client('6.0.0-3', 'A client offers the subprotocol mqtt.'),
  server(
    '6.0.0-4',
    'The server selects the subprotocol mqtt.',
    websocket('packets may be cut anywhere, and many may share a frame; the subprotocol is mqtt'),
    upgrade('the WebSocket upgrade > selects the subprotocol mqtt when it is offered'),
  ),
]
