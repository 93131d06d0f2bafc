/** Bytes that count, in place of random ones: later ids are greater. */
export function countingBytes(): (bytes: number) => Buffer {
  let count = 0
  return (bytes) => {
    count += 1
    const counted = Buffer.alloc(bytes)
    counted.writeUInt32BE(count, bytes - 4)
    return counted
  }
}
