/** The normative statements of MQTT 5.0 (Appendix B): CONNECT and CONNACK, and what all packets share. */
import { both, client, type Statement, server, testsOf } from './statement.js'

const connect = testsOf('test/conformance/five-connect.test.ts')
const malformed = testsOf('test/conformance/five-malformed.test.ts')
const publish = testsOf('test/conformance/five-publish.test.ts')
const qos = testsOf('test/conformance/five-qos.test.ts')
const session = testsOf('test/conformance/five-session.test.ts')
const subscribe = testsOf('test/conformance/five-subscribe.test.ts')
const everyVersion = testsOf('test/wire/qos.test.ts')

export const connectStatements: readonly Statement[] = [
  both(
    '1.5.4-1',
    'Text is well-formed UTF-8, without surrogates.',
    malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81'),
  ),
  both('1.5.4-2', 'Text does not contain U+0000.', malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81')),
  both(
    '1.5.4-3',
    'U+FEFF is a character like any other and is never taken out.',
    malformed('text > U+FEFF and the edges of UTF-8 arrive as they are'),
  ),
  both(
    '1.5.5-1',
    'A Variable Byte Integer has no more bytes than it needs.',
    malformed('the fixed header > a length of five bytes, or of more than it needs: 0x81'),
    malformed('the property block > a length that is too long, or written longer than it needs: 0x81'),
  ),
  both(
    '1.5.7-1',
    'Both texts of a pair keep the rules of text.',
    malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81'),
  ),
  both(
    '2.1.3-1',
    'Reserved flag bits have the value that the table gives.',
    malformed('the fixed header > flags that a packet may not have: 0x81'),
  ),
  both(
    '2.2.1-2',
    'A PUBLISH at QoS 0 has no identifier.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
  ),
  client('2.2.1-3', 'A client gives a new packet an identifier that is not 0 and not in use.'),
  server(
    '2.2.1-4',
    'A server gives a new PUBLISH an identifier that is not 0 and not in use.',
    qos('to a subscriber > identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time'),
    everyVersion('an identifier is not given out again while it is in use, all the way round'),
  ),
  both(
    '2.2.1-5',
    'PUBACK, PUBREC, PUBREL and PUBCOMP carry the identifier of their PUBLISH.',
    publish('topics and QoS > each QoS has its answer, with the identifier of its PUBLISH'),
  ),
  server(
    '2.2.1-6',
    'SUBACK and UNSUBACK carry the identifier of what they answer.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  both(
    '2.2.2-1',
    'No properties are a property length of zero.',
    connect('packets without properties > say so with a length of zero'),
  ),
  both(
    '3.1.0-1',
    'The first packet of a client is CONNECT.',
    connect('what a CONNECT is > the first packet, or the connection ends without a word'),
  ),
  server(
    '3.1.0-2',
    'A second CONNECT is a protocol error and closes the connection.',
    malformed('the rest > a second CONNECT: 0x82'),
  ),
  both(
    '3.1.2-1',
    'The protocol name is MQTT; another one is refused and closed.',
    connect('what a CONNECT is > of the protocol MQTT and of a version that is spoken'),
  ),
  server(
    '3.1.2-2',
    'A version that is not spoken is refused and closed.',
    connect('what a CONNECT is > of the protocol MQTT and of a version that is spoken'),
  ),
  server(
    '3.1.2-3',
    'The reserved connect flag is checked to be 0.',
    connect('what a CONNECT is > without the reserved flag: 0x81'),
  ),
  both(
    '3.1.2-4',
    'Clean Start discards the former session and starts a new one.',
    session('Clean Start > discards what was there; without it the session goes on, or begins'),
  ),
  server(
    '3.1.2-5',
    'Without Clean Start a session that is there goes on.',
    session('Clean Start > discards what was there; without it the session goes on, or begins'),
  ),
  server(
    '3.1.2-6',
    'Without Clean Start and without a session a new one is made.',
    session('Clean Start > discards what was there; without it the session goes on, or begins'),
  ),
  server(
    '3.1.2-7',
    'A will is stored with its session.',
    session('wills > are sent when the connection is lost, at their QoS, retained or not, once'),
  ),
  server(
    '3.1.2-8',
    'A will is published when the connection has ended and its delay has passed or the session ends, unless it was taken back.',
    session('wills > are sent when the connection is lost, at their QoS, retained or not, once'),
  ),
  both(
    '3.1.2-9',
    'With the will flag, will properties, topic and payload are there.',
    connect('what a CONNECT is > with will fields exactly when the flag says so'),
  ),
  server(
    '3.1.2-10',
    'A will that was published, or taken back by DISCONNECT 0x00, is stored no longer.',
    session('wills > are sent when the connection is lost, at their QoS, retained or not, once'),
  ),
  both(
    '3.1.2-11',
    'Without the will flag, will QoS is 0.',
    connect('what a CONNECT is > with will fields exactly when the flag says so'),
  ),
  both('3.1.2-12', 'Will QoS is 0, 1 or 2.', connect('what a CONNECT is > with will fields exactly when the flag says so')),
  both(
    '3.1.2-13',
    'Without the will flag, will retain is 0.',
    connect('what a CONNECT is > with will fields exactly when the flag says so'),
  ),
  server(
    '3.1.2-14',
    'Without will retain, the will is published without RETAIN.',
    session('wills > are sent when the connection is lost, at their QoS, retained or not, once'),
  ),
  server(
    '3.1.2-15',
    'With will retain, the will is published retained.',
    session('wills > are sent when the connection is lost, at their QoS, retained or not, once'),
  ),
  both(
    '3.1.2-16',
    'Without the user name flag there is no user name.',
    connect('what a CONNECT is > with user name and password exactly when their flags say so, each without the other'),
  ),
  both(
    '3.1.2-17',
    'With the user name flag there is a user name.',
    connect('what a CONNECT is > with user name and password exactly when their flags say so, each without the other'),
  ),
  both(
    '3.1.2-18',
    'Without the password flag there is no password.',
    connect('what a CONNECT is > with user name and password exactly when their flags say so, each without the other'),
  ),
  both(
    '3.1.2-19',
    'With the password flag there is a password.',
    connect('what a CONNECT is > with user name and password exactly when their flags say so, each without the other'),
  ),
  client('3.1.2-20', 'A client that has nothing to send sends PINGREQ within its keep alive.'),
  client('3.1.2-21', 'A client uses the keep alive that the server returns.'),
  server(
    '3.1.2-22',
    'A client that is silent for one and a half times its keep alive is disconnected.',
    connect('keep alive > is one and a half times what the client said, where the server says nothing'),
  ),
  both(
    '3.1.2-23',
    'Session state outlives the connection when its expiry interval is above 0.',
    session('the session expiry interval > is how long it outlives its connection, with all that waits in it'),
  ),
  server(
    '3.1.2-24',
    "No packet is larger than the client's Maximum Packet Size.",
    qos('Maximum Packet Size of the client > no packet is larger; what would be counts as delivered, and the next one comes'),
  ),
  server(
    '3.1.2-25',
    'A message that is too large for the client is discarded as if it had been sent.',
    qos('Maximum Packet Size of the client > no packet is larger; what would be counts as delivered, and the next one comes'),
  ),
  server(
    '3.1.2-26',
    "No topic alias is above the client's Topic Alias Maximum.",
    qos('topic aliases of the server > stay within what the client takes, and mean what they were given for'),
  ),
  server(
    '3.1.2-27',
    'Without a Topic Alias Maximum there are no topic aliases.',
    qos('topic aliases of the server > are none where the client takes none'),
  ),
  server(
    '3.1.2-28',
    'Response Information is only for those who asked.',
    connect('CONNACK > has response information only for those who asked, and no method where none was named'),
  ),
  server(
    '3.1.2-29',
    'Without Request Problem Information, reason strings and user properties are only in PUBLISH, CONNACK and DISCONNECT.',
    qos(
      'problem information > unless it was asked for, only PUBLISH, CONNACK and DISCONNECT have reason strings and user properties',
    ),
  ),
  client('3.1.2-30', 'A client with an authentication method sends nothing but AUTH and DISCONNECT before CONNACK.'),
  both(
    '3.1.3-1',
    'The fields of the payload stand in the order of the standard.',
    connect('what a CONNECT is > with its fields in order, the client identifier first'),
  ),
  both(
    '3.1.3-2',
    'The client identifier names the session, on both sides.',
    connect('takeover > tells the former connection 0x8E and closes it'),
  ),
  both(
    '3.1.3-3',
    'The client identifier is there, and first.',
    connect('what a CONNECT is > with its fields in order, the client identifier first'),
  ),
  both('3.1.3-4', 'The client identifier is UTF-8.', connect('what a CONNECT is > with text that is UTF-8: 0x81')),
  server(
    '3.1.3-5',
    'Identifiers of 1 to 23 letters and digits are taken.',
    connect('client identifiers > of 1 to 23 letters and digits are taken, and many more'),
  ),
  server(
    '3.1.3-6',
    'An empty identifier, where it is taken, is replaced by a unique one.',
    connect('client identifiers > that are empty are replaced by one that is told, unique, and good for a later connection'),
  ),
  server(
    '3.1.3-7',
    'A client with an assigned identifier is treated as if it had sent it, and told of it.',
    connect('client identifiers > that are empty are replaced by one that is told, unique, and good for a later connection'),
  ),
  server(
    '3.1.3-8',
    'An identifier that is refused closes the connection, with 0x85 if it is answered.',
    connect('refusals > by a program close with the reason that fits, session present 0'),
  ),
  server(
    '3.1.3-9',
    'A new connection before the will delay has passed keeps the will from being sent.',
    session('wills > are not sent when the client comes back within the delay'),
  ),
  server(
    '3.1.3-10',
    'The user properties of a will keep their order.',
    session('wills > have their properties, in their order, and not their delay'),
  ),
  both('3.1.3-11', 'The will topic is UTF-8.', connect('what a CONNECT is > with text that is UTF-8: 0x81')),
  both('3.1.3-12', 'The user name is UTF-8.', connect('what a CONNECT is > with text that is UTF-8: 0x81')),
  server(
    '3.1.4-1',
    'A CONNECT of a wrong form closes the connection.',
    connect('what a CONNECT is > without the reserved flag: 0x81'),
  ),
  server(
    '3.1.4-2',
    'A CONNECT that fails a further check closes the connection.',
    connect('refusals > by a program close with the reason that fits, session present 0'),
  ),
  server(
    '3.1.4-3',
    'A second connection under one identifier disconnects the first, with 0x8E.',
    connect('takeover > tells the former connection 0x8E and closes it'),
  ),
  server(
    '3.1.4-4',
    'Clean Start is carried out.',
    session('Clean Start > discards what was there; without it the session goes on, or begins'),
  ),
  server(
    '3.1.4-5',
    'An accepted CONNECT is answered with 0x00.',
    connect('CONNACK > is the answer to a good CONNECT, whole in every byte'),
  ),
  server('3.1.4-6', 'Nothing but AUTH is processed behind a refused CONNECT.', connect('refusals > leave what follows unread')),
  server(
    '3.2.0-1',
    'CONNACK comes before everything but AUTH.',
    connect('CONNACK > comes before everything else, once, whatever rides behind the CONNECT'),
  ),
  server(
    '3.2.0-2',
    'There is one CONNACK on a connection.',
    connect('CONNACK > comes before everything else, once, whatever rides behind the CONNECT'),
  ),
  server(
    '3.2.2-1',
    'The reserved bits of CONNACK are 0.',
    connect('CONNACK > is the answer to a good CONNECT, whole in every byte'),
  ),
  server(
    '3.2.2-2',
    'With Clean Start, session present is 0.',
    session('Clean Start > discards what was there; without it the session goes on, or begins'),
  ),
  server(
    '3.2.2-3',
    'Without Clean Start, session present says whether there is a session.',
    session('Clean Start > discards what was there; without it the session goes on, or begins'),
  ),
  client('3.2.2-4', 'A client without a session closes when session present is 1.'),
  client('3.2.2-5', 'A client with a session discards it when session present is 0.'),
  server(
    '3.2.2-6',
    'With a reason code above 0, session present is 0.',
    connect('refusals > by a program close with the reason that fits, session present 0'),
  ),
  server(
    '3.2.2-7',
    'A reason code of 0x80 or more is followed by the end of the connection.',
    connect('refusals > by a program close with the reason that fits, session present 0'),
  ),
  server(
    '3.2.2-8',
    'CONNACK has a reason code of its table.',
    connect('CONNACK > is the answer to a good CONNECT, whole in every byte'),
    connect('takeover > of a connection that has no CONNACK yet is answered from CONNACK’s table, or not at all'),
  ),
  server(
    '3.2.2-9',
    'A server without QoS 1 or 2 says so with Maximum QoS; this one has both.',
    connect(
      'CONNACK > says nothing of limits that are not there, and they are not: every QoS, retained messages, also in a will',
    ),
  ),
  server(
    '3.2.2-10',
    'Every QoS is taken in SUBSCRIBE.',
    connect(
      'CONNACK > says nothing of limits that are not there, and they are not: every QoS, retained messages, also in a will',
    ),
  ),
  client('3.2.2-11', 'A client keeps to Maximum QoS.'),
  server(
    '3.2.2-12',
    'A will QoS that the server does not have is refused; this one has all.',
    connect(
      'CONNACK > says nothing of limits that are not there, and they are not: every QoS, retained messages, also in a will',
    ),
  ),
  server(
    '3.2.2-13',
    'A retained will is refused by a server without retained messages; this one has them.',
    connect(
      'CONNACK > says nothing of limits that are not there, and they are not: every QoS, retained messages, also in a will',
    ),
  ),
  client('3.2.2-14', 'A client keeps to Retain Available.'),
  client('3.2.2-15', "A client keeps to the server's Maximum Packet Size."),
  server(
    '3.2.2-16',
    'An empty identifier gets an Assigned Client Identifier that no other session has.',
    connect('client identifiers > that are empty are replaced by one that is told, unique, and good for a later connection'),
  ),
  client('3.2.2-17', "A client keeps to the server's Topic Alias Maximum."),
  client('3.2.2-18', 'Without a Topic Alias Maximum a client sends no topic aliases.'),
  server(
    '3.2.2-19',
    'CONNACK has no reason string that would make it too large.',
    connect('refusals > have no reason string where the client takes no packet of that size'),
  ),
  server(
    '3.2.2-20',
    'CONNACK has no user properties that would make it too large.',
    connect('refusals > have no reason string where the client takes no packet of that size'),
  ),
  client('3.2.2-21', 'A client uses Server Keep Alive.'),
  server(
    '3.2.2-22',
    "Without Server Keep Alive the server uses the client's.",
    connect('keep alive > is one and a half times what the client said, where the server says nothing'),
  ),
]
