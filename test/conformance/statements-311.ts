/** The normative statements of MQTT 3.1.1 (Appendix B), in our words, each with the tests that show it. */
import { both, client, type Standard, server, testsOf, untested } from './statement.js'

const connect = testsOf('test/wire/connect.test.ts')
const session = testsOf('test/wire/session.test.ts')
const will = testsOf('test/wire/will.test.ts')
const qos = testsOf('test/wire/qos.test.ts')
const retry = testsOf('test/wire/retry.test.ts')
const retained = testsOf('test/wire/retained.test.ts')
const topics = testsOf('test/wire/topics.test.ts')
const stream = testsOf('test/wire/stream.test.ts')
const commit = testsOf('test/wire/commit.test.ts')
const hooks = testsOf('test/aedes-compat.test.ts')
const frames = testsOf('test/wire/websocket-frames.test.ts')
const websocket = testsOf('test/listener-websocket.test.ts')
const mqttjs = testsOf('test/clients/mqttjs.test.ts')
const mosquitto = testsOf('test/clients/mosquitto.test.ts')

const ILL_FORMED = topics('ill-formed UTF-8 ends the connection in topics and filters: %s')
const NO_TOPIC = topics('a PUBLISH to a filter, or to nothing, ends the connection')
const NO_FILTER = topics('filters that are none end the connection')
const SUBSCRIBE_FORM = topics('SUBSCRIBE and UNSUBSCRIBE: flags 0010, at least one filter, a QoS of 0 to 2, whole fields')
const SUBACK = topics('one SUBACK answers all filters, in order: granted and refused side by side')
const UNSUBACK = topics('UNSUBSCRIBE is answered, known filter or not, and compares character by character')
const LEVELS = topics('filters match level by level')
const ANSWERS = qos('QoS 0 gets no answer, QoS 1 PUBACK, QoS 2 PUBREC and PUBCOMP, each with its identifier')
const REPEATED = qos('a QoS 2 message sent again before PUBREL is answered and not published again')
const WHOLE = qos('a whole QoS 2 delivery: PUBLISH, PUBREC, PUBREL, PUBCOMP')
const AGAIN = qos('PUBLISHes without an answer come again after a reconnect: same identifier, DUP, old order')
const RESUMED = qos('a QoS 2 delivery resumes where it was: PUBLISH before PUBREC, PUBREL after it, nothing after PUBCOMP')
const IDS = qos('identifiers begin at 1 in a new session and count up; QoS 0 carries none')
const ROUND = qos('an identifier is not given out again while it is in use, all the way round')
const ORDERED = topics('per topic and QoS the order of the publisher is kept, whoever listens')
const ACKS_IN_ORDER = qos('PUBACKs and PUBRECs come in the order of the PUBLISHes')
const WILL_LOST = will('a connection that is lost sends its will, at its QoS, once')
const WILL_TAKEN_BACK = will('DISCONNECT takes the will back, also from the store')
const WILL_FLAGS = connect('will flags fit together: no QoS 3, nothing without a will')
const WILL_FIELDS = connect('will fields are there when the flag says so, and only then')
const USER_FLAGS = connect('user name and password follow their flags')
const EMPTY_ID = connect('an empty id without a clean session gets return code 2')
const UTF8_CONNECT = connect('client id and user name are UTF-8')
const PRESENT = session('session present: no for a new one, yes for a stored one, also without subscriptions')
const CLEAN = session('a clean session starts empty, says so, and leaves nothing behind')
const STORED = session('a stored session keeps subscriptions and QoS 1 and 2 messages, in order, not QoS 0')
const TAKEN = session('a session that is taken over goes on where it was; the former connection is closed')
const CLEARED = retained('an empty retained message goes out live and leaves nothing behind')
const LAST_RETAINED = retained('the last retained message of a topic comes with a new subscription, RETAIN set')
const TCP = mosquitto('mosquitto clients > a message arrives at each QoS, by MQTT 3.1.1 and 3.1')
const BOTH_DOORS = mqttjs('%s, protocol level %d: 5,000 messages there and back at each QoS, none lost, none doubled, in order')

export const mqtt311: Standard = {
  name: 'MQTT 3.1.1',
  url: 'https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html',
  count: 141,
  statements: [
    both('1.5.3-1', 'Text that is not well-formed UTF-8, surrogates included, closes the connection.', ILL_FORMED, UTF8_CONNECT),
    both('1.5.3-2', 'Text that contains U+0000 closes the connection.', ILL_FORMED, UTF8_CONNECT),
    both(
      '1.5.3-3',
      'U+FEFF is a character like any other and is never taken out.',
      topics('nothing is normalised: case, spaces, composed and decomposed letters, U+FEFF'),
    ),
    both(
      '2.2.2-1',
      'Reserved flag bits have the value that the table gives.',
      stream('every flag that a packet may not have ends the connection'),
    ),
    both('2.2.2-2', 'Wrong flags close the connection.', stream('every flag that a packet may not have ends the connection')),
    both(
      '2.3.1-1',
      'SUBSCRIBE, UNSUBSCRIBE and PUBLISH above QoS 0 carry an identifier that is not 0.',
      qos('packet identifier 0 ends the connection, wherever it stands'),
    ),
    client('2.3.1-2', 'A client gives a new packet an identifier that is not in use.'),
    client('2.3.1-3', 'A client sends a packet again under its old identifier.'),
    server('2.3.1-4', 'A server keeps the same two rules for what it publishes.', IDS, ROUND, AGAIN),
    both('2.3.1-5', 'A PUBLISH at QoS 0 has no identifier.', IDS),
    both('2.3.1-6', 'PUBACK, PUBREC and PUBREL carry the identifier of their PUBLISH.', ANSWERS, WHOLE),
    server('2.3.1-7', 'SUBACK and UNSUBACK carry the identifier of what they answer.', SUBACK, UNSUBACK),

    both(
      '3.1.0-1',
      'The first packet of a client is CONNECT.',
      connect('the first packet is CONNECT, or the connection ends without an answer'),
    ),
    server(
      '3.1.0-2',
      'A second CONNECT is a violation: the client is disconnected.',
      connect('a second CONNECT ends the connection'),
    ),
    server(
      '3.1.2-1',
      'A wrong protocol name is not processed as MQTT 3.1.1.',
      connect('any other protocol name is closed without an answer'),
    ),
    server(
      '3.1.2-2',
      'A protocol level that is not spoken gets return code 1, then the end.',
      connect('a level that is not spoken gets return code 1, then the end'),
    ),
    server('3.1.2-3', 'The reserved connect flag is checked to be 0.', connect('the reserved connect flag must be 0')),
    server('3.1.2-4', 'Without Clean Session a stored session goes on, or a new one is made.', STORED, PRESENT),
    server(
      '3.1.2-5',
      'QoS 1 and 2 messages for a session that is away are stored.',
      STORED,
      will('a will waits in stored sessions like any message'),
    ),
    both('3.1.2-6', 'Clean Session discards the former session, and the new one ends with its connection.', CLEAN),
    server(
      '3.1.2-7',
      'Retained messages are no part of a session and stay when it ends.',
      session('retained messages are no part of a session'),
      retained('a retained message outlives its publisher, and a subscriber that changes its mind gets no more'),
    ),
    server(
      '3.1.2-8',
      'A will is stored with its connection and sent when that ends without DISCONNECT.',
      WILL_LOST,
      will('a protocol error sends the will'),
      will('a keep alive that runs out sends the will'),
      will('a broker that died sends the wills of all who were connected when it starts again, and only theirs'),
    ),
    both('3.1.2-9', 'With the will flag, will topic and will message are there.', WILL_FIELDS),
    server(
      '3.1.2-10',
      'A will that was sent, or taken back by DISCONNECT, is stored no longer.',
      WILL_TAKEN_BACK,
      will('a will is of its connection: sent once, and not again after a reconnect without one'),
    ),
    both(
      '3.1.2-11',
      'Without the will flag, will QoS and will retain are 0 and the will fields are missing.',
      WILL_FLAGS,
      WILL_FIELDS,
    ),
    server('3.1.2-12', 'Without the will flag nothing is sent.', will('no will, nothing sent')),
    both('3.1.2-13', 'Without the will flag, will QoS is 0.', WILL_FLAGS),
    both('3.1.2-14', 'Will QoS is never 3.', WILL_FLAGS),
    both('3.1.2-15', 'Without the will flag, will retain is 0.', WILL_FLAGS),
    server('3.1.2-16', 'Without will retain, the will is published without RETAIN.', WILL_LOST),
    server(
      '3.1.2-17',
      'With will retain, the will is published retained.',
      will('a retained will stays for those who come later; an empty one clears'),
    ),
    both('3.1.2-18', 'Without the user name flag there is no user name.', USER_FLAGS),
    both('3.1.2-19', 'With the user name flag there is a user name.', USER_FLAGS),
    both('3.1.2-20', 'Without the password flag there is no password.', USER_FLAGS),
    both('3.1.2-21', 'With the password flag there is a password.', USER_FLAGS),
    both('3.1.2-22', 'Without the user name flag there is no password flag.', connect('a password needs a user name')),
    client('3.1.2-23', 'A client that has nothing to send sends PINGREQ within its keep alive.'),
    server(
      '3.1.2-24',
      'A client that is silent for one and a half times its keep alive is disconnected.',
      session('a client is given one and a half times its keep alive, not less, and little more'),
      session('keep alive 0 holds nobody'),
    ),
    both(
      '3.1.3-1',
      'The fields of the payload stand in the order of the standard.',
      connect('there is always a client id field'),
      USER_FLAGS,
      WILL_FIELDS,
    ),
    both(
      '3.1.3-2',
      'The client identifier names the session, on both sides.',
      STORED,
      connect('one client id, twenty CONNECTs at once: exactly one stays'),
    ),
    both('3.1.3-3', 'The client identifier is there, and first.', connect('there is always a client id field')),
    both('3.1.3-4', 'The client identifier is UTF-8.', UTF8_CONNECT),
    server(
      '3.1.3-5',
      'Identifiers of 1 to 23 letters and digits are taken.',
      connect('client ids of 1 to 23 letters and digits are taken, and far longer ones'),
    ),
    server(
      '3.1.3-6',
      'An empty identifier, where it is taken, is replaced by a unique one.',
      connect('an empty id with a clean session gets a name of its own'),
    ),
    client('3.1.3-7', 'A client without an identifier asks for a clean session.'),
    server('3.1.3-8', 'An empty identifier without Clean Session gets return code 2, then the end.', EMPTY_ID),
    server('3.1.3-9', 'An identifier that is refused gets return code 2, then the end.', EMPTY_ID),
    both('3.1.3-10', 'The will topic is UTF-8.', connect('a will topic is a topic name in UTF-8')),
    both('3.1.3-11', 'The user name is UTF-8.', UTF8_CONNECT),
    server(
      '3.1.4-1',
      'A CONNECT of a wrong form closes the connection without CONNACK.',
      connect('any other protocol name is closed without an answer'),
      WILL_FIELDS,
      USER_FLAGS,
    ),
    server(
      '3.1.4-2',
      'A second connection under one identifier disconnects the first.',
      TAKEN,
      connect('one client id, twenty CONNECTs at once: exactly one stays'),
    ),
    server('3.1.4-3', 'Clean Session is carried out.', CLEAN, TAKEN),
    server('3.1.4-4', 'An accepted CONNECT is answered with return code 0.', connect('a valid CONNECT gets exactly 20 02 00 00')),
    server(
      '3.1.4-5',
      'Nothing behind a refused CONNECT is processed.',
      connect('nothing that follows a refused CONNECT is looked at'),
      will('CONNECTs that are refused never send their will'),
    ),

    server(
      '3.2.0-1',
      'The first packet of the server is CONNACK.',
      connect('packets right behind a good CONNECT, in the same write, are all handled, after CONNACK'),
    ),
    server('3.2.2-1', 'With Clean Session, session present is 0.', CLEAN),
    server(
      '3.2.2-2',
      'With a stored session, session present is 1.',
      PRESENT,
      commit('CONNACK waits when a session is made, resumed or wiped, or a will is stored'),
    ),
    server('3.2.2-3', 'Without a stored session, session present is 0.', PRESENT),
    server(
      '3.2.2-4',
      'With a return code, session present is 0.',
      connect('a level that is not spoken gets return code 1, then the end'),
      EMPTY_ID,
    ),
    server(
      '3.2.2-5',
      'A return code is followed by the end of the connection.',
      connect('a level that is not spoken gets return code 1, then the end'),
      EMPTY_ID,
    ),
    server(
      '3.2.2-6',
      'Where no return code fits, the connection is closed without CONNACK.',
      connect('any other protocol name is closed without an answer'),
    ),

    both(
      '3.3.1-1',
      'A PUBLISH that is sent again has DUP.',
      AGAIN,
      retry('a PUBLISH without an answer is sent again with DUP, and each time after twice the wait'),
    ),
    both('3.3.1-2', 'DUP is 0 at QoS 0.', qos('QoS 3 ends the connection, and so does DUP at QoS 0')),
    both(
      '3.3.1-3',
      'DUP of a delivery says only whether that delivery is a repetition.',
      topics('DUP of a publisher is not handed on'),
      AGAIN,
    ),
    both('3.3.1-4', 'QoS 3 closes the connection.', qos('QoS 3 ends the connection, and so does DUP at QoS 0')),
    server(
      '3.3.1-5',
      'A retained message is stored with its QoS.',
      LAST_RETAINED,
      retained('the replay has the lower QoS of message and subscription'),
    ),
    server(
      '3.3.1-6',
      'A new subscription gets the last retained message of each topic.',
      LAST_RETAINED,
      retained('wildcards find all that match, and nothing else'),
    ),
    server(
      '3.3.1-7',
      'A retained message at QoS 0 replaces the former one.',
      retained('QoS 0 retained messages are kept, too, and replace others'),
    ),
    server('3.3.1-8', 'What a new subscription brings has RETAIN.', LAST_RETAINED),
    server(
      '3.3.1-9',
      'What goes to an existing subscription has no RETAIN.',
      retained('who is subscribed already gets the message without RETAIN'),
    ),
    server(
      '3.3.1-10',
      'An empty retained message is delivered and takes the stored one away.',
      CLEARED,
      retained('clearing at QoS 0 works, too'),
    ),
    server('3.3.1-11', 'An empty retained message is not stored.', CLEARED),
    server(
      '3.3.1-12',
      'A message without RETAIN is not stored and replaces nothing.',
      retained('a message without RETAIN is not kept and replaces nothing'),
    ),
    both('3.3.2-1', 'The topic name comes first and is UTF-8.', NO_TOPIC, ILL_FORMED),
    both('3.3.2-2', 'A topic name has no wildcards.', NO_TOPIC),
    server('3.3.2-3', 'What is delivered matches the filter of the subscription.', LEVELS),
    both('3.3.4-1', 'A PUBLISH is answered as its QoS asks.', ANSWERS),
    server(
      '3.3.5-1',
      'Overlapping subscriptions deliver at the highest QoS among them.',
      topics('overlapping filters deliver once, at the highest QoS'),
    ),
    server(
      '3.3.5-2',
      'A PUBLISH that is not authorised is acknowledged all the same, or the connection closed.',
      hooks('authorizePublish > closes the client that it refuses, without acknowledgement, and tells its own error'),
      topics('reserved names: a publish is counted and not acknowledged, at QoS 1 and 2 the connection ends'),
    ),
    both(
      '3.6.1-1',
      'PUBREL has the flags 0010; others close the connection.',
      qos('PUBREL must carry the flags 0010, and acknowledgements two bytes'),
    ),

    both('3.8.1-1', 'SUBSCRIBE has the flags 0010; others close the connection.', SUBSCRIBE_FORM),
    both('3.8.3-1', 'Filters of SUBSCRIBE are UTF-8.', ILL_FORMED),
    server('3.8.3-2', 'A server without wildcards refuses them; this one has them.', LEVELS),
    both('3.8.3-3', 'SUBSCRIBE has at least one filter with its QoS.', SUBSCRIBE_FORM),
    server('3.8.3-4', 'Reserved bits or a QoS of 3 in SUBSCRIBE close the connection.', SUBSCRIBE_FORM),
    server('3.8.4-1', 'SUBSCRIBE is answered with SUBACK.', SUBACK),
    server('3.8.4-2', 'SUBACK carries the identifier of its SUBSCRIBE.', SUBACK),
    server(
      '3.8.4-3',
      'The same filter again replaces the subscription, brings retained messages again and costs no message.',
      topics('the same filter again replaces the subscription: one copy, the new QoS'),
      retained('subscribing again brings it again, and costs no live message'),
    ),
    server(
      '3.8.4-4',
      'Several filters are handled as if they came one by one, with one SUBACK.',
      SUBACK,
      topics('the same filter again replaces the subscription: one copy, the new QoS'),
    ),
    server('3.8.4-5', 'SUBACK has a code for each filter: the QoS granted, or a failure.', SUBACK),
    server(
      '3.8.4-6',
      'The QoS of a delivery is the lower of the message and the subscription.',
      topics('the QoS is the lower of the message and the subscription'),
    ),
    server('3.9.3-1', 'The codes of SUBACK have the order of the filters.', SUBACK),
    server(
      '3.9.3-2',
      'SUBACK has no other codes than 0, 1, 2 and 0x80.',
      SUBACK,
      topics('reserved filters get 0x80, but for $SYS'),
    ),

    both('3.10.1-1', 'UNSUBSCRIBE has the flags 0010; others close the connection.', SUBSCRIBE_FORM),
    both('3.10.3-1', 'Filters of UNSUBSCRIBE are UTF-8.', ILL_FORMED),
    both('3.10.3-2', 'UNSUBSCRIBE has at least one filter.', SUBSCRIBE_FORM),
    server('3.10.4-1', 'UNSUBSCRIBE compares filters character by character.', UNSUBACK),
    server(
      '3.10.4-2',
      'A subscription that is deleted brings nothing new.',
      UNSUBACK,
      retained('a retained message outlives its publisher, and a subscriber that changes its mind gets no more'),
    ),
    server(
      '3.10.4-3',
      'A delivery that was begun under a deleted subscription is completed.',
      topics('UNSUBSCRIBE lets a delivery that was begun come to its end'),
    ),
    server('3.10.4-4', 'UNSUBSCRIBE is answered with UNSUBACK and its identifier.', UNSUBACK),
    server('3.10.4-5', 'UNSUBACK also comes when nothing was deleted.', UNSUBACK),
    server('3.10.4-6', 'Several filters are handled as if they came one by one, with one UNSUBACK.', UNSUBACK),

    server(
      '3.12.4-1',
      'PINGREQ is answered with PINGRESP.',
      session('PINGREQ is answered once each, behind the answers to what came before'),
    ),
    server(
      '3.14.1-1',
      'Reserved bits in DISCONNECT close the connection.',
      session('DISCONNECT with flags or bytes is malformed'),
    ),
    client('3.14.4-1', 'A client closes the connection behind its DISCONNECT.'),
    client('3.14.4-2', 'A client sends nothing behind its DISCONNECT.'),
    server('3.14.4-3', 'DISCONNECT discards the will.', WILL_TAKEN_BACK),

    both('4.1.0-1', 'Session state is kept as long as the session.', PRESENT, STORED),
    both(
      '4.1.0-2',
      'A session lasts at least as long as its connection.',
      session('sessions end session_expiry_s after their connection, with all that waits in them; connected ones never do'),
    ),
    both(
      '4.3.1-1',
      'At QoS 0 the sender sends a PUBLISH with QoS 0 and without DUP.',
      IDS,
      topics('the QoS is the lower of the message and the subscription'),
    ),
    both(
      '4.3.2-1',
      'At QoS 1 the sender uses a free identifier, sends without DUP and keeps the message until PUBACK.',
      ROUND,
      AGAIN,
    ),
    both(
      '4.3.2-2',
      'At QoS 1 the receiver answers with PUBACK and takes a later PUBLISH of that identifier as new.',
      ANSWERS,
      ROUND,
    ),
    both(
      '4.3.3-1',
      'At QoS 2 the sender goes from PUBLISH over PUBREC and PUBREL to PUBCOMP, keeping each step until it is answered.',
      WHOLE,
      RESUMED,
    ),
    both(
      '4.3.3-2',
      'At QoS 2 the receiver answers each step and does not hand a message on twice.',
      REPEATED,
      qos('the same in one write, and over a reconnect of a stored session'),
    ),
    both(
      '4.4.0-1',
      'After a reconnect to a stored session, what is unacknowledged is sent again under its identifier.',
      AGAIN,
      RESUMED,
    ),
    server(
      '4.5.0-1',
      'A message that is accepted is in the session of every matching subscription.',
      STORED,
      commit('PUBACK and PUBREC wait for stored copies and for retained messages'),
    ),
    client('4.5.0-2', 'A client acknowledges what it receives, whether it uses it or not.'),
    both('4.6.0-1', 'PUBLISHes are sent again in the order in which they were first sent.', AGAIN),
    both('4.6.0-2', 'PUBACKs have the order of the PUBLISHes.', ACKS_IN_ORDER),
    both('4.6.0-3', 'PUBRECs have the order of the PUBLISHes.', ACKS_IN_ORDER),
    both('4.6.0-4', 'PUBRELs have the order of the PUBRECs.', RESUMED),
    server('4.6.0-5', 'Every topic is an ordered topic.', ORDERED),
    server('4.6.0-6', 'Deliveries of one publisher, topic and QoS have the order in which they came.', ORDERED),
    both(
      '4.7.1-1',
      'Wildcards are for filters, never for topic names.',
      NO_TOPIC,
      connect('a will topic is a topic name in UTF-8'),
    ),
    both('4.7.1-2', '# is a level of its own and the last one.', NO_FILTER, LEVELS),
    both('4.7.1-3', '+ is a level of its own, at any place.', NO_FILTER, LEVELS, topics('empty levels are levels')),
    server(
      '4.7.2-1',
      'A leading wildcard does not match a topic that begins with $.',
      topics('a leading wildcard does not match $'),
    ),
    both('4.7.3-1', 'Topic names and filters have at least one character.', NO_TOPIC, NO_FILTER),
    both('4.7.3-2', 'Topic names and filters do not contain U+0000.', ILL_FORMED),
    both(
      '4.7.3-3',
      'Topic names and filters have at most 65,535 bytes.',
      topics('topics of 65,535 bytes work at every QoS; the payload behind them, too'),
    ),
    server(
      '4.7.3-4',
      'Matching changes no character.',
      topics('nothing is normalised: case, spaces, composed and decomposed letters, U+FEFF'),
    ),
    both(
      '4.8.0-1',
      'A violation of the protocol closes the connection on which it came.',
      stream('packet types that only servers send, or nobody, end the connection'),
      stream('bodies that are shorter or longer than their fields end the connection'),
      qos('the wrong acknowledgement ends the connection, and the message comes again'),
    ),
    both(
      '4.8.0-2',
      'A passing error while a packet is handled closes the connection on which it came.',
      commit('a commit that fails closes those who wait for it, without an answer'),
    ),

    both(
      '6.0.0-1',
      'MQTT over WebSocket uses binary frames; others close the connection.',
      websocket('an MQTT connection over WebSocket > closes on a text frame'),
    ),
    both(
      '6.0.0-2',
      'Packets do not end where frames end.',
      websocket('an MQTT connection over WebSocket > takes packets cut anywhere'),
      frames('many packets in one frame, more than one packet may have together'),
      frames('one packet in many frames, in many parts of one message, with pings between them'),
    ),
    client('6.0.0-3', 'A client offers the subprotocol mqtt.'),
    server(
      '6.0.0-4',
      'The server selects the subprotocol mqtt.',
      websocket('the WebSocket upgrade > selects the subprotocol mqtt when it is offered'),
    ),
    untested(
      '7.0.0-1',
      'A server that also opens connections conforms as a client, too.',
      'The broker opens no MQTT connection of its own.',
      'both',
    ),
    both('7.0.0-2', 'Nothing outside the standard is needed to talk to it.', TCP, BOTH_DOORS),
    server('7.1.1-1', 'A server speaks over at least one ordered, lossless, two-way stream of bytes.', TCP, BOTH_DOORS),
    client('7.1.2-1', 'A client speaks over at least one ordered, lossless, two-way stream of bytes.'),
  ],
}
