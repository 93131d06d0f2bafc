/** New ids. They are random, carry no meaning and are never used again. */

export interface Ids {
  file(): string
  upload(): string
  part(): string
  blob(): string
  organization(): string
  project(): string
  apiKey(): string
  store(): string
  /** Of one run of a server. */
  server(): string
  /** Not an id but a secret: what a client sends as its API key. */
  secret(): string
}

/**
 * Unpredictable bytes, at most 4096 a call, drawn many at a time: to draw for each id took longer
 * than all else of it.
 */
export function createRandom(fill: (bytes: Buffer) => Buffer): (bytes: number) => Buffer {
  const pool = Buffer.alloc(4096)
  let used = pool.length
  return (bytes) => {
    if (used + bytes > pool.length) {
      fill(pool)
      used = 0
    }
    used += bytes
    return Buffer.from(pool.subarray(used - bytes, used))
  }
}

/** @param random gives that many unpredictable bytes, never the same again. */
export function createIds(random: (bytes: number) => Buffer): Ids {
  return {
    file: () => `file-${base58(random(16))}`,
    upload: () => `upload_${base58(random(16))}`,
    part: () => `part_${base58(random(16))}`,
    blob: () => random(16).toString('hex'),
    organization: () => `org-${base58(random(16))}`,
    project: () => `proj_${base58(random(16))}`,
    apiKey: () => `key_${base58(random(16))}`,
    store: () => `store_${base58(random(16))}`,
    server: () => `server_${base58(random(16))}`,
    secret: () => `sk-coffer-${base58(random(32))}`,
  }
}

/** Without the letters that people mistake for each other. */
const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** As many characters for as many bytes, whatever their value: 22 for 16 bytes. */
function base58(bytes: Buffer): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  for (let most = 1n << BigInt(bytes.length * 8); most > 0n; most /= 58n) {
    text += alphabet[Number(rest % 58n)]
    rest /= 58n
  }
  return text
}
