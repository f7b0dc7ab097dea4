/**
 * MQTT's own idea of UTF-8, checked on the bytes: strict UTF-8 (no overlong form, no surrogate, nothing above U+10FFFF) without
 * U+0000. U+FEFF is an ordinary character and is never stripped [MQTT-1.5.3-3]; control and non-characters are allowed.
 */

/** True when bytes `start` ≤ i < `end` are a valid MQTT string [MQTT-1.5.3-1, MQTT-1.5.3-2; version 5: MQTT-1.5.4-1, MQTT-1.5.4-2]. */
export function isMqttUtf8(buf: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buf[i]
    // One comparison for the usual case: U+0001 to U+007F.
    if (byte === 0) return false
    if (byte >= 0x80) return isTailUtf8(buf, i, end)
  }
  return true
}

/** The general case, from the first byte that is not ASCII. The ranges are those of Unicode's table 3-7. */
function isTailUtf8(buf: Buffer, start: number, end: number): boolean {
  let i = start
  while (i < end) {
    const lead = buf[i]
    if (lead < 0x80) {
      if (lead === 0) return false
      i += 1
    } else if (lead < 0xe0) {
      if (lead < 0xc2 || i + 2 > end || !isContinuation(buf[i + 1])) return false
      i += 2
    } else if (lead < 0xf0) {
      if (i + 3 > end || !isContinuation(buf[i + 1]) || !isContinuation(buf[i + 2])) return false
      if (lead === 0xe0 && buf[i + 1] < 0xa0) return false // overlong
      if (lead === 0xed && buf[i + 1] > 0x9f) return false // surrogate
      i += 3
    } else {
      if (lead > 0xf4 || i + 4 > end) return false
      if (!isContinuation(buf[i + 1]) || !isContinuation(buf[i + 2]) || !isContinuation(buf[i + 3])) return false
      if (lead === 0xf0 && buf[i + 1] < 0x90) return false // overlong
      if (lead === 0xf4 && buf[i + 1] > 0x8f) return false // above U+10FFFF
      i += 4
    }
  }
  return true
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}
