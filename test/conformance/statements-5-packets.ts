/** The normative statements of MQTT 5.0 (Appendix B): the other packets. */
import { both, client, type Statement, server, testsOf, untested } from './statement.js'

const auth = testsOf('test/conformance/five-auth.test.ts')
const connect = testsOf('test/conformance/five-connect.test.ts')
const malformed = testsOf('test/conformance/five-malformed.test.ts')
const publish = testsOf('test/conformance/five-publish.test.ts')
const qos = testsOf('test/conformance/five-qos.test.ts')
const session = testsOf('test/conformance/five-session.test.ts')
const subscribe = testsOf('test/conformance/five-subscribe.test.ts')

export const packetsStatements: readonly Statement[] = [
  both(
    '3.3.1-1',
    'A PUBLISH that is sent again has DUP.',
    qos('to a subscriber > what has no answer comes again after a reconnect: same identifier, DUP, old order'),
  ),
  both('3.3.1-2', 'DUP is 0 at QoS 0.', malformed('the fixed header > QoS 3: 0x81; DUP at QoS 0')),
  both(
    '3.3.1-3',
    'DUP of a delivery says only whether that delivery is a repetition.',
    publish('topics and QoS > DUP of a publisher is not handed on'),
  ),
  both('3.3.1-4', 'QoS 3 is malformed.', malformed('the fixed header > QoS 3: 0x81; DUP at QoS 0')),
  server(
    '3.3.1-5',
    'A retained message is stored and replaces the former one.',
    publish('retained messages > the last one of a topic is kept and comes with a subscription'),
  ),
  server(
    '3.3.1-6',
    'An empty retained message is handled like any other and takes the stored one away.',
    publish('retained messages > an empty one is delivered, takes the former away and is not kept'),
  ),
  server(
    '3.3.1-7',
    'An empty retained message is not stored.',
    publish('retained messages > an empty one is delivered, takes the former away and is not kept'),
  ),
  server(
    '3.3.1-8',
    'A message without RETAIN is not stored and replaces nothing.',
    publish('retained messages > a message without RETAIN is not kept and replaces nothing'),
  ),
  server(
    '3.3.1-9',
    'Retain Handling 0 brings the retained messages.',
    publish('retained messages > the last one of a topic is kept and comes with a subscription'),
  ),
  server(
    '3.3.1-10',
    'Retain Handling 1 brings them to a new subscription only.',
    publish('retained messages > Retain Handling 1: only for a subscription that is new'),
  ),
  server('3.3.1-11', 'Retain Handling 2 brings none.', publish('retained messages > Retain Handling 2: never')),
  server(
    '3.3.1-12',
    'Without Retain As Published, deliveries have no RETAIN.',
    publish('retained messages > RETAIN of a live delivery: 0, or with Retain As Published what the publisher set'),
  ),
  server(
    '3.3.1-13',
    'With Retain As Published, deliveries have the RETAIN of their PUBLISH.',
    publish('retained messages > RETAIN of a live delivery: 0, or with Retain As Published what the publisher set'),
  ),
  both(
    '3.3.2-1',
    'The topic name comes first and is UTF-8.',
    malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81'),
  ),
  both(
    '3.3.2-2',
    'A topic name has no wildcards.',
    malformed('PUBLISH > without a topic: 0x82; with wildcards; with fields that end early: 0x81'),
  ),
  server(
    '3.3.2-3',
    'What is delivered matches the filter of the subscription.',
    publish('topics and QoS > what is delivered matches the filter, at the lower QoS of message and subscription'),
  ),
  server(
    '3.3.2-4',
    'The Payload Format Indicator is handed on as it is.',
    publish('properties > arrive as they were sent, in their order: live, stored, retained, at every QoS'),
  ),
  server(
    '3.3.2-5',
    'A copy that was not begun to be delivered when the message expires is deleted.',
    publish('message expiry > what has expired is not delivered; what has not says what is left of it'),
  ),
  server(
    '3.3.2-6',
    'A delivery has the Message Expiry Interval less the time that the message waited.',
    publish('message expiry > what has expired is not delivered; what has not says what is left of it'),
  ),
  both(
    '3.3.2-7',
    'Topic aliases end with their connection.',
    publish('topic aliases of a client > end with their connection, also where the session goes on'),
    qos('topic aliases of the server > are given anew on each connection, also to what is sent again'),
  ),
  both(
    '3.3.2-8',
    'Topic alias 0 is not sent.',
    malformed('the property block > values that are none: 0x82, and 0x94 for a topic alias'),
  ),
  client('3.3.2-9', "A client's topic aliases keep to the server's maximum."),
  client('3.3.2-10', 'A client takes every topic alias up to its own maximum.'),
  server(
    '3.3.2-11',
    "A server's topic aliases keep to the client's maximum.",
    qos('topic aliases of the server > stay within what the client takes, and mean what they were given for'),
  ),
  server(
    '3.3.2-12',
    'A server takes every topic alias up to the maximum that it gave.',
    publish('topic aliases of a client > stand for their topic, from 1 to the maximum, and can be given anew'),
  ),
  both('3.3.2-13', 'The response topic is UTF-8.', malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81')),
  both('3.3.2-14', 'The response topic has no wildcards.', malformed('PUBLISH > a response topic with wildcards')),
  server(
    '3.3.2-15',
    'The response topic is handed on as it is.',
    publish('properties > arrive as they were sent, in their order: live, stored, retained, at every QoS'),
  ),
  server(
    '3.3.2-16',
    'Correlation data is handed on as it is.',
    publish('properties > arrive as they were sent, in their order: live, stored, retained, at every QoS'),
  ),
  server(
    '3.3.2-17',
    'User properties are handed on as they are.',
    publish('properties > arrive as they were sent, in their order: live, stored, retained, at every QoS'),
  ),
  server(
    '3.3.2-18',
    'User properties keep their order.',
    publish('properties > arrive as they were sent, in their order: live, stored, retained, at every QoS'),
  ),
  both('3.3.2-19', 'The content type is UTF-8.', malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81')),
  server(
    '3.3.2-20',
    'The content type is handed on as it is.',
    publish('properties > arrive as they were sent, in their order: live, stored, retained, at every QoS'),
  ),
  both(
    '3.3.4-1',
    'A PUBLISH is answered as its QoS asks.',
    publish('topics and QoS > each QoS has its answer, with the identifier of its PUBLISH'),
  ),
  server(
    '3.3.4-2',
    'Overlapping subscriptions deliver at the highest QoS among them.',
    publish('subscription identifiers > of all that match are in the one copy, which has the highest QoS: live and stored'),
  ),
  server(
    '3.3.4-3',
    'A delivery has the identifiers of the subscriptions that caused it.',
    publish('subscription identifiers > come with what their subscription caused, and with nothing else'),
  ),
  server(
    '3.3.4-4',
    'A single copy has the identifiers of all matching subscriptions.',
    publish('subscription identifiers > of all that match are in the one copy, which has the highest QoS: live and stored'),
  ),
  untested(
    '3.3.4-5',
    'Of several copies each has the identifier of its subscription.',
    'One copy is sent, however many subscriptions match; see 3.3.4-4.',
  ),
  both(
    '3.3.4-6',
    "A client's PUBLISH has no subscription identifier.",
    malformed('the property block > a subscription identifier from a publisher'),
  ),
  client('3.3.4-7', "A client keeps to the server's Receive Maximum."),
  client('3.3.4-8', 'A client holds back nothing but PUBLISH at its Receive Maximum.'),
  server(
    '3.3.4-9',
    "A server keeps to the client's Receive Maximum.",
    qos('Receive Maximum of the client > is the most that is unacknowledged; each acknowledgement lets one more in'),
    qos('Receive Maximum of the client > also holds for what comes again after a reconnect'),
  ),
  server(
    '3.3.4-10',
    "A server holds back nothing but PUBLISH at the client's Receive Maximum.",
    qos('Receive Maximum of the client > holds back nothing else: QoS 0, SUBACK, PINGRESP and what the client publishes go on'),
  ),
  both(
    '3.4.2-1',
    'PUBACK has a reason code of its table.',
    malformed('acknowledgements > too short, or with a reason code that is none of theirs'),
  ),
  both(
    '3.4.2-2',
    'PUBACK has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.4.2-3',
    'PUBACK has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.5.2-1',
    'PUBREC has a reason code of its table.',
    malformed('acknowledgements > too short, or with a reason code that is none of theirs'),
  ),
  both(
    '3.5.2-2',
    'PUBREC has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.5.2-3',
    'PUBREC has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.6.1-1',
    'PUBREL has the flags 0010; others are malformed.',
    malformed('the fixed header > flags that a packet may not have: 0x81'),
  ),
  both(
    '3.6.2-1',
    'PUBREL has a reason code of its table.',
    malformed('acknowledgements > too short, or with a reason code that is none of theirs'),
  ),
  both(
    '3.6.2-2',
    'PUBREL has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.6.2-3',
    'PUBREL has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.7.2-1',
    'PUBCOMP has a reason code of its table.',
    malformed('acknowledgements > too short, or with a reason code that is none of theirs'),
  ),
  both(
    '3.7.2-2',
    'PUBCOMP has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.7.2-3',
    'PUBCOMP has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.8.1-1',
    'SUBSCRIBE has the flags 0010; others are malformed.',
    malformed('the fixed header > flags that a packet may not have: 0x81'),
  ),
  both('3.8.3-1', 'Filters of SUBSCRIBE are UTF-8.', malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81')),
  both(
    '3.8.3-2',
    'SUBSCRIBE has at least one filter with its options.',
    malformed('SUBSCRIBE and UNSUBSCRIBE > without a filter: 0x82'),
  ),
  server(
    '3.8.3-3',
    'With No Local a client does not hear what it publishes itself.',
    subscribe('SUBSCRIBE > with No Local: not what this client publishes, on this connection or a later one; others hear it'),
  ),
  both(
    '3.8.3-4',
    'No Local on a shared subscription is a protocol error.',
    malformed('SUBSCRIBE and UNSUBSCRIBE > No Local on a shared subscription: 0x82'),
  ),
  server(
    '3.8.3-5',
    'Reserved bits in the options are malformed.',
    malformed('SUBSCRIBE and UNSUBSCRIBE > options: reserved bits are 0x81, QoS 3 and Retain Handling 3 are 0x82'),
  ),
  server(
    '3.8.4-1',
    'SUBSCRIBE is answered with SUBACK.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  server(
    '3.8.4-2',
    'SUBACK carries the identifier of its SUBSCRIBE.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  server(
    '3.8.4-3',
    'The same filter again replaces the subscription.',
    subscribe('SUBSCRIBE > of the same filter replaces the subscription, its QoS and its options'),
  ),
  server(
    '3.8.4-4',
    'Replacing with Retain Handling 0 brings retained messages again and costs no message.',
    subscribe('SUBSCRIBE > of the same filter brings retained messages again, and costs no message'),
  ),
  server(
    '3.8.4-5',
    'Several filters are handled as if they came one by one, with one SUBACK.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  server(
    '3.8.4-6',
    'SUBACK has a reason code for each filter.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  server(
    '3.8.4-7',
    'That code is the QoS granted, or a failure.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  server(
    '3.8.4-8',
    'The QoS of a delivery is the lower of the message and the subscription.',
    publish('topics and QoS > what is delivered matches the filter, at the lower QoS of message and subscription'),
  ),
  server(
    '3.9.2-1',
    'SUBACK has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  server(
    '3.9.2-2',
    'SUBACK has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  server(
    '3.9.3-1',
    'The codes of SUBACK have the order of the filters.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  server(
    '3.9.3-2',
    'SUBACK has reason codes of its table.',
    subscribe('SUBSCRIBE > is answered with one SUBACK: its identifier, one code for each filter, in their order'),
  ),
  both(
    '3.10.1-1',
    'UNSUBSCRIBE has the flags 0010; others are malformed.',
    malformed('the fixed header > flags that a packet may not have: 0x81'),
  ),
  both(
    '3.10.3-1',
    'Filters of UNSUBSCRIBE are UTF-8.',
    malformed('text > ill-formed UTF-8 and U+0000, wherever text stands: 0x81'),
  ),
  both('3.10.3-2', 'UNSUBSCRIBE has at least one filter.', malformed('SUBSCRIBE and UNSUBSCRIBE > without a filter: 0x82')),
  server(
    '3.10.4-1',
    'UNSUBSCRIBE compares filters character by character and deletes the one that is the same.',
    subscribe(
      'UNSUBSCRIBE > is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters',
    ),
  ),
  server(
    '3.10.4-2',
    'A subscription that is deleted brings nothing new.',
    subscribe('UNSUBSCRIBE > ends new messages, and lets what was begun come to its end'),
  ),
  server(
    '3.10.4-3',
    'A delivery that was begun under a deleted subscription is completed.',
    subscribe('UNSUBSCRIBE > ends new messages, and lets what was begun come to its end'),
  ),
  server(
    '3.10.4-4',
    'UNSUBSCRIBE is answered with UNSUBACK.',
    subscribe(
      'UNSUBSCRIBE > is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters',
    ),
  ),
  server(
    '3.10.4-5',
    'UNSUBACK carries the identifier of its UNSUBSCRIBE, and also comes when nothing was deleted.',
    subscribe(
      'UNSUBSCRIBE > is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters',
    ),
  ),
  server(
    '3.10.4-6',
    'Several filters are handled as if they came one by one, with one UNSUBACK.',
    subscribe(
      'UNSUBSCRIBE > is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters',
    ),
  ),
  server(
    '3.11.2-1',
    'UNSUBACK has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  server(
    '3.11.2-2',
    'UNSUBACK has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  server(
    '3.11.3-1',
    'The codes of UNSUBACK have the order of the filters.',
    subscribe(
      'UNSUBSCRIBE > is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters',
    ),
  ),
  server(
    '3.11.3-2',
    'UNSUBACK has reason codes of its table.',
    subscribe(
      'UNSUBSCRIBE > is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters',
    ),
  ),
  server('3.12.4-1', 'PINGREQ is answered with PINGRESP.', subscribe('PINGREQ is answered with PINGRESP, each once')),
  server(
    '3.14.0-1',
    'A server sends no DISCONNECT before a CONNACK below 0x80.',
    connect('what a CONNECT is > the first packet, or the connection ends without a word'),
  ),
  both(
    '3.14.1-1',
    'Reserved bits in DISCONNECT are malformed.',
    malformed('the fixed header > flags that a packet may not have: 0x81'),
  ),
  both(
    '3.14.2-1',
    'DISCONNECT has a reason code of its table.',
    malformed('the rest > DISCONNECT with a reason code that is none of a client'),
  ),
  server(
    '3.14.2-2',
    "A server's DISCONNECT has no session expiry interval.",
    subscribe('DISCONNECT > of the server is its last word, has a reason of its table and no session expiry'),
  ),
  both(
    '3.14.2-3',
    'DISCONNECT has no reason string that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.14.2-4',
    'DISCONNECT has no user properties that would make it too large.',
    qos(
      'Maximum Packet Size of the client > answers keep to it, without reason string and user properties where those are too much',
    ),
  ),
  both(
    '3.14.4-1',
    'Nothing is sent behind DISCONNECT.',
    subscribe('DISCONNECT > of the server is its last word, has a reason of its table and no session expiry'),
  ),
  both(
    '3.14.4-2',
    'DISCONNECT is followed by the end of the connection.',
    subscribe('DISCONNECT > of the server is its last word, has a reason of its table and no session expiry'),
  ),
  server('3.14.4-3', 'DISCONNECT 0x00 discards the will.', session('wills > are taken back by DISCONNECT 0x00, and by no other')),
  both(
    '3.15.1-1',
    'AUTH has the flags 0000; others are malformed.',
    malformed('the fixed header > flags that a packet may not have: 0x81'),
  ),
  both(
    '3.15.2-1',
    'AUTH has a reason code of its table.',
    malformed('the rest > AUTH where none was agreed: 0x82; with a code of its own making'),
  ),
  both(
    '3.15.2-2',
    'AUTH has no reason string that would make it too large.',
    auth('before CONNACK > AUTH keeps to Maximum Packet Size, without reason string and user properties'),
  ),
  both(
    '3.15.2-3',
    'AUTH has no user properties that would make it too large.',
    auth('before CONNACK > AUTH keeps to Maximum Packet Size, without reason string and user properties'),
  ),
]
