/** Numbers that look random and are the same for the same seed. */

import { createCipheriv, createHash } from 'node:crypto'

export interface Random {
  /** A whole number from 0 to before `end`. */
  below(end: number): number
  chance(probability: number): boolean
  bytes(count: number): Buffer
}

export function createRandom(seed: number): Random {
  let counter = 0

  function draw(): Buffer {
    counter += 1
    return createHash('sha256').update(`${seed}:${counter}`).digest()
  }

  const below = (end: number) => (end === 0 ? 0 : draw().readUIntBE(0, 6) % end)
  return {
    below,
    chance: (probability) => below(1_000_000) < probability * 1_000_000,
    bytes(count) {
      const stream = createCipheriv('aes-256-ctr', draw(), Buffer.alloc(16))
      return stream.update(Buffer.alloc(count))
    },
  }
}
