/**
 * Hard bounds that no setting can lift, each with its unit in its name. Settings (config/schema.ts) choose within them.
 * The relations between them are asserted by test/limits.test.ts.
 */

/** MQTT's largest Remaining Length (four 7-bit bytes) [MQTT-2.2.3]. */
export const PACKET_BYTES_MAX = 268_435_455
/**
 * A packet that comes before CONNECT is accepted may not be larger than this. The largest CONNECT of MQTT 3.1.1 has 327,700 bytes: identifier, will and credentials
 * of 65,535 each. The rest is for properties of MQTT 5.
 */
export const PACKET_BYTES_BEFORE_CONNECT_MAX = 524_288
/** An MQTT string or binary field: its length is two bytes. */
export const STRING_BYTES_MAX = 65_535
/** Packet identifiers run from 1 to this. */
export const PACKET_ID_MAX = 65_535

/** Topics remembered with their routes; a busier broker forgets all and starts anew. */
export const INTERNED_TOPICS_MAX = 100_000

/** Message bytes that one stored row may hold before the next row is begun. A larger message has a row to itself. */
export const LOG_ROW_BYTES_MAX = 65_536
/** Messages that one stored row may hold, and the sequences that one extent spans. */
export const EXTENT_SEQUENCES = 4_096
/** Message bytes collected into one commit before more is made to wait for the next. */
export const COMMIT_BYTES_MAX = 4 * 1024 * 1024
/** Rows of recently written or read messages kept in memory. */
export const ROW_CACHE_BYTES_MAX = 32 * 1024 * 1024
/** Entries of one queue whose index is held in memory; the rest is paged in from the store. */
export const QUEUE_INDEX_ENTRIES_MAX = 8_192

/** Retained payloads kept in memory; beyond it they are read from the store. */
export const RETAINED_CACHE_BYTES_MAX = 32 * 1024 * 1024
/** Wills that wait because the disk was nearly full, or a queue that must have them was; beyond it they are dropped and counted. */
export const WILLS_REFUSED_MAX = 10_000

/** Messages that one receive hands out or one send takes, and receipts that one acknowledgement names. */
export const BATCH_MESSAGES_MAX = 256
/** Receipts that were acknowledged or given back, and are remembered so that the request can be repeated; and for how long. */
export const RECEIPTS_REMEMBERED_MAX = 131_072
export const RECEIPTS_REMEMBERED_MS = 600_000
/** How long a receive may wait for a message. */
export const WAIT_MS_MAX = 30_000
/** The longest lease: 12 hours. */
export const LEASE_MS_MAX = 43_200_000
/** The longest delay of a message: a year. */
export const DELAY_MS_MAX = 31_536_000_000
/** A message's priority: 1 goes first, 16 last. */
export const PRIORITY_MIN = 1
export const PRIORITY_MAX = 16
/** Bytes of a message key or de-duplication id, as UTF-8. */
export const KEY_BYTES_MAX = 255
/** The longest time that a message may be kept: 10 years. */
export const RETENTION_S_MAX = 315_360_000
/** Items that one page of a list has. */
export const PAGE_ITEMS_MAX = 1_000
/** Bytes of messages that one receive or look brings at most; a single message may be larger. */
export const READ_BYTES_MAX = 16 * 1024 * 1024
/** Messages that one redrive moves. */
export const MOVES_MAX = 10_000
/** Rows of queues that are read to find one message: about a second per million. */
export const TRACE_ROWS_MAX = 2_000_000
