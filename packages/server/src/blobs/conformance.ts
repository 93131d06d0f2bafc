/** What every blob driver must do, said of the store above it. */

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BlobDriver } from './blob-driver.ts'
import { BlobError } from './blob-error.ts'
import { type BlobStore, createBlobStore, type KnownBlob } from './blob-store.ts'

const KiB = 1024
const MiB = 1024 * KiB

export interface OpenDriver extends AsyncDisposable {
  readonly driver: BlobDriver
}

export interface BlobSubject {
  /** Opens a driver that has no blobs. */
  open(): Promise<OpenDriver>
  /** Whether a read that began gives the whole blob even if it is deleted meanwhile. */
  readonly readsOutliveDeletion: boolean
}

export function describeBlobStore(name: string, { open, readsOutliveDeletion }: BlobSubject): void {
  describe(name, () => {
    let opened: OpenDriver
    let store: BlobStore

    beforeAll(async () => {
      opened = await open()
      store = remembering(createBlobStore(opened.driver))
    })
    afterAll(() => opened[Symbol.asyncDispose]())

    describe('a write', () => {
      it.each([
        ...[0, 1, 2, 16 * KiB - 1, 16 * KiB, 16 * KiB + 1, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1],
        ...[256 * KiB - 1, 256 * KiB, 256 * KiB + 1, 512 * KiB - 1, 512 * KiB, 512 * KiB + 1],
        ...[MiB - 1, MiB, MiB + 1, 2 * MiB, 3 * MiB + 7],
        ...[8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 16 * MiB, 16 * MiB + 3],
      ])('keeps %i bytes, and gives their count and hash', async (size) => {
        const id = newId()
        const content = bytes(size)
        const written = await store.write(id, pieces(content, 64 * KiB), noLimit)
        expect(written).toMatchObject({ bytes: size, sha256: sha256(content) })
        await expectContent(store, id, content)
      })

      it('keeps the same bytes in whatever pieces they come, empty ones too', async () => {
        await fc.assert(
          fc.asyncProperty(pieceSizes, async (sizes) => {
            const id = newId()
            const content = bytes(sizes.reduce((sum, size) => sum + size, 0))
            const written = await store.write(id, piecesOf(content, sizes), noLimit)
            expect(written).toMatchObject({ bytes: content.length, sha256: sha256(content) })
            await expectContent(store, id, content)
          }),
          { numRuns: 60 },
        )
      })

      it('keeps content that comes in thousands of small pieces', async () => {
        const id = newId()
        const content = bytes(2.5 * MiB)
        await store.write(id, pieces(content, 300), noLimit)
        await expectContent(store, id, content)
      })

      it('takes content of just the most bytes', async () => {
        const id = newId()
        const other = newId()
        const content = bytes(1000)
        await store.write(id, pieces(content, 100), { maxBytes: 1000 })
        await store.write(other, pieces(bytes(0), 100), { maxBytes: 0 })
        await expectContent(store, id, content)
      })

      it.each([0, 1, 999, 2 * MiB])('stops at the first byte over %i', async (maxBytes) => {
        const id = newId()
        let pulledBeyond = false
        async function* source() {
          yield* pieces(bytes(maxBytes), 64 * KiB)
          yield bytes(1)
          pulledBeyond = true
        }
        const write = store.write(id, source(), { maxBytes })
        await expect(write).rejects.toMatchObject({ name: 'BlobError', code: 'too-large' })
        expect(pulledBeyond).toBe(false)
        await expectNothing(store, id)
      })

      it('closes a source that is too large', async () => {
        const id = newId()
        let closed = false
        async function* source() {
          try {
            for (;;) yield bytes(100)
          } finally {
            closed = true
          }
        }
        const write = store.write(id, source(), { maxBytes: 150 })
        await expect(write).rejects.toMatchObject({ code: 'too-large' })
        expect(closed).toBe(true)
      })

      it.each([
        ['before its first byte', 0],
        ['after its first bytes', 10],
        ['after a large part', 2 * MiB + 10],
        ['after the first parts of an object', 17 * MiB],
      ])('passes on the error of a source that fails %s, and keeps nothing', async (_, size) => {
        const id = newId()
        const failure = new Error('The client left.')
        async function* source() {
          yield* pieces(bytes(size), 64 * KiB)
          throw failure
        }
        await expect(store.write(id, source(), noLimit)).rejects.toBe(failure)
        await expectNothing(store, id)
      })

      it('shows nothing of the blob before it has ended', async () => {
        const id = newId()
        const outcomes: string[] = []
        async function* source() {
          yield bytes(MiB)
          outcomes.push(await outcomeOf(store, id))
          yield bytes(10)
          outcomes.push(await outcomeOf(store, id))
        }
        await store.write(id, source(), noLimit)
        outcomes.push(await outcomeOf(store, id))
        expect(outcomes).toEqual(['not-found', 'not-found', 'read'])
      })

      it('refuses an id that is taken, and leaves the blob as it is', async () => {
        const id = newId()
        await store.write(id, pieces(Buffer.from('first'), 2), noLimit)
        const second = store.write(id, pieces(Buffer.from('other'), 2), noLimit)
        await expect(second).rejects.toMatchObject({ name: 'BlobError', code: 'exists' })
        await expectContent(store, id, Buffer.from('first'))
      })

      it('wins alone over another of the same id at the same time', async () => {
        for (let round = 0; round < 20; round += 1) {
          const id = newId()
          const contents = [Buffer.from('one'), Buffer.from('the other')]
          const outcomes = await Promise.allSettled(
            contents.map((content) => store.write(id, pieces(content, 1), noLimit)),
          )
          const won = outcomes.findIndex(({ status }) => status === 'fulfilled')
          expect(outcomes[1 - won]).toMatchObject({
            status: 'rejected',
            reason: { code: 'exists' },
          })
          await expectContent(store, id, contents[won] ?? Buffer.from('nobody won'))
        }
      })

      it('goes well beside many other writes and reads', async () => {
        const blobs = Array.from({ length: 32 }, (_, at) => ({
          id: newId(),
          content: Buffer.alloc((at * 37_123) % MiB, `blob ${at} `),
        }))
        await Promise.all(
          blobs.map(async ({ id, content }) => {
            await store.write(id, pieces(content, 100_000), noLimit)
            await Promise.all([1, 2].map(() => expectContent(store, id, content)))
          }),
        )
        for (const { id, content } of blobs) await expectContent(store, id, content)
      })
    })

    describe('a read', () => {
      it('gives exactly the bytes of every range', async () => {
        const id = newId()
        const content = bytes(2 * MiB + 4321)
        await store.write(id, pieces(content, 100_000), noLimit)
        await fc.assert(
          fc.asyncProperty(placeIn(content), placeIn(content), async (one, other) => {
            const [start, end] = [Math.min(one, other), Math.max(one, other)]
            const read = await collect(store.read(known(id), { start, end }))
            expectSameBytes(read, content.subarray(start, end))
          }),
          { numRuns: 150 },
        )
      })

      it('gives pieces of at most one MiB', async () => {
        const id = newId()
        const content = bytes(5 * MiB)
        await store.write(id, pieces(content, 3 * MiB), noLimit)
        for await (const piece of store.read(known(id), { start: 0, end: content.length })) {
          expect(piece.length).toBeGreaterThan(0)
          expect(piece.length).toBeLessThanOrEqual(MiB)
        }
      })

      it('never writes again to a piece it gave', async () => {
        const id = newId()
        const content = bytes(4 * MiB)
        await store.write(id, pieces(content, MiB), noLimit)
        const kept = await Array.fromAsync(store.read(known(id), { start: 0, end: content.length }))
        await store.write(newId(), pieces(Buffer.alloc(4 * MiB, 1), MiB), noLimit)
        await collect(store.read(known(id), { start: 1, end: content.length }))
        expectSameBytes(Buffer.concat(kept), content)
      })

      it.each([10, 2 * MiB])(
        'gives pieces that their reader may do away with: %i bytes',
        async (size) => {
          const id = newId()
          const content = bytes(size)
          await store.write(id, pieces(content, MiB), noLimit)
          const kept = await Array.fromAsync(store.read(known(id), { start: 0, end: size }))
          const buffers = new Set(kept.map(({ buffer }) => buffer))
          expect(buffers.size).toBe(kept.length)
          for (const piece of await Array.fromAsync(
            store.read(known(id), { start: 0, end: size }),
          )) {
            expect(buffers).not.toContain(piece.buffer)
            if (piece.buffer instanceof ArrayBuffer) piece.buffer.transfer(0)
          }
          expectSameBytes(Buffer.concat(kept), content)
          await expectContent(store, id, content)
        },
      )

      it('says that a blob does not exist when its first bytes are asked for', async () => {
        const id = newId()
        for (const range of [
          { start: 0, end: 10 },
          { start: 0, end: 0 },
        ]) {
          const read = store.read(known(id), range)
          await expect(collect(read)).rejects.toMatchObject({
            name: 'BlobError',
            code: 'not-found',
          })
        }
      })

      it('fails rather than ends early where the blob is shorter than the range', async () => {
        const id = newId()
        await store.write(id, pieces(bytes(MiB), MiB), noLimit)
        for (const range of [
          { start: 0, end: MiB + 1 },
          { start: MiB, end: MiB + 1 },
          { start: 2 * MiB, end: 2 * MiB + 1 },
        ]) {
          const read = store.read(known(id), range)
          await expect(collect(read)).rejects.toMatchObject({ code: 'damaged' })
        }
      })

      it('may be left in the middle and begun again', async () => {
        const id = newId()
        const content = bytes(2 * MiB)
        await store.write(id, pieces(content, MiB), noLimit)
        for await (const _ of store.read(known(id), { start: 0, end: 2 * MiB })) break
        await expectContent(store, id, content)
      })

      const promise = readsOutliveDeletion ? 'goes on to its end' : 'goes on to its end or fails'
      it(`${promise} when its blob is deleted meanwhile`, async () => {
        const id = newId()
        const content = bytes(4 * MiB)
        await store.write(id, pieces(content, MiB), noLimit)
        const read: Uint8Array[] = []
        try {
          for await (const piece of store.read(known(id), { start: 0, end: content.length })) {
            if (read.length === 0) await store.delete(id)
            read.push(piece)
          }
        } catch (error) {
          if (!readsOutliveDeletion && error instanceof BlobError) return
          throw error
        }
        expectSameBytes(Buffer.concat(read), content)
      })
    })

    describe('a deletion', () => {
      it('removes the blob', async () => {
        const id = newId()
        const other = newId()
        await store.write(id, pieces(bytes(10), 10), noLimit)
        await store.write(other, pieces(bytes(10), 10), noLimit)
        await store.delete(id)
        expect(await outcomeOf(store, id)).toBe('not-found')
        await expectContent(store, other, bytes(10))
      })

      it('may be repeated, and succeeds where there is no blob', async () => {
        const id = newId()
        const other = newId()
        await store.write(id, pieces(bytes(10), 10), noLimit)
        await store.delete(id)
        await store.delete(id)
        await Promise.all([store.delete(other), store.delete(other)])
        expect(await outcomeOf(store, id)).toBe('not-found')
      })
    })

    describe('the list', () => {
      it('has the blobs whose ids begin alike, and no others', async () => {
        const ids = Array.from({ length: 5 }, newId).map((id, at) => `c${at % 2}-${id}`)
        await Promise.all(
          ids.map((id, at) => store.write(id, pieces(bytes(at * 9000), 999), noLimit)),
        )
        await store.delete(ids[2] ?? '')
        const listed = async (prefix: string) => (await Array.fromAsync(store.list(prefix))).sort()
        expect(await listed('c0')).toEqual([ids[0], ids[4]])
        expect(await listed('c1')).toEqual([ids[1], ids[3]])
        expect(await listed('c2')).toEqual([])
      })
    })

    describe('the mark', () => {
      it('is not there at first, and is what was written last', async () => {
        expect(await store.readMark()).toBe(undefined)
        await store.writeMark('one')
        await store.writeMark('another')
        expect(await store.readMark()).toBe('another')
      })
    })

    describe('a check', () => {
      it('succeeds where blobs can be written', async () => {
        await expect(store.check()).resolves.toBe(undefined)
      })
    })
  })
}

const noLimit = { maxBytes: Number.MAX_SAFE_INTEGER }

/** Sizes of pieces from nothing to more than a driver gathers at once. */
const pieceSizes = fc.array(
  fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 1, max: 700 * KiB }),
    fc.constantFrom(MiB - 1, MiB, MiB + 1),
  ),
  { maxLength: 8 },
)

/** Any place in the content, often one beside the edges at which drivers cut. */
function placeIn(content: Uint8Array): fc.Arbitrary<number> {
  const edges = [0, 512 * KiB, MiB, 1.5 * MiB, 2 * MiB, content.length]
  const besideEdges = edges.flatMap((edge) => [edge - 1, edge, edge + 1])
  return fc.oneof(
    fc.integer({ min: 0, max: content.length }),
    fc.constantFrom(...besideEdges.filter((place) => place >= 0 && place <= content.length)),
  )
}

const written = new Map<string, KnownBlob>()

/** The same store; what it wrote is read with its checksums from then on. */
function remembering(store: BlobStore): BlobStore {
  return {
    ...store,
    async write(id, source, options) {
      const { bytes, sha256, checksums } = await store.write(id, source, options)
      written.set(id, { id, bytes, checksums })
      return { bytes, sha256, checksums }
    },
  }
}

function known(id: string): KnownBlob {
  return written.get(id) ?? { id, bytes: Number.MAX_SAFE_INTEGER, checksums: new Uint8Array() }
}

let ids = 0

/** One that was never used, in whatever folder it falls. */
function newId(): string {
  ids += 1
  return `${(ids % 256).toString(16).padStart(2, '0')}${ids}`
}

/** Bytes that tell where they stand: no two words of it are the same. */
function bytes(size: number): Buffer {
  const words = new Uint32Array(Math.ceil(size / 4))
  // Multiplication by an odd number is one-to-one in 32 bits.
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at + 1, 0x9e37_79b1)
  return Buffer.from(words.buffer, 0, size)
}

function pieces(content: Buffer, size: number): AsyncGenerator<Uint8Array> {
  return piecesOf(content, new Array(Math.ceil(content.length / size)).fill(size))
}

/** Each piece is overwritten once the next is asked for. */
async function* piecesOf(content: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const size of sizes) {
    const piece = Uint8Array.from(content.subarray(at, at + size))
    yield piece
    piece.fill(0xff)
    at += size
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

async function expectContent(store: BlobStore, id: string, content: Buffer): Promise<void> {
  expectSameBytes(await collect(store.read(known(id), { start: 0, end: content.length })), content)
}

/** As `toEqual` of the bytes, which takes seconds for a MiB. */
function expectSameBytes(actual: Buffer, expected: Buffer): void {
  expect(actual.length).toBe(expected.length)
  expect(actual.equals(expected), 'the same bytes').toBe(true)
}

/** Nothing can be read under the id, and it is free. */
async function expectNothing(store: BlobStore, id: string): Promise<void> {
  expect(await outcomeOf(store, id)).toBe('not-found')
  await store.write(id, pieces(Buffer.from('new'), 1), noLimit)
  await expectContent(store, id, Buffer.from('new'))
}

async function outcomeOf(store: BlobStore, id: string): Promise<string> {
  try {
    await collect(store.read(known(id), { start: 0, end: 1 }))
    return 'read'
  } catch (error) {
    if (!(error instanceof BlobError)) throw error
    return error.code
  }
}
