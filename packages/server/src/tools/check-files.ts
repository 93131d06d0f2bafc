/** Checks files of this machine as an upload would, without a server. */

import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { type FileCheck, limits, type UploadPurpose } from '@coffer/contract'
import type { ContentRules } from '../content-rules/content-rules.ts'
import { createEncodingWatch } from '../content-rules/text-encoding.ts'
import { openRules, type RulesConfig } from '../open-rules.ts'
import { toFileCheck } from '../service/file-check.ts'

const pieceBytes = 1024 * 1024

/** A document may take long; whoever waits can end it. */
const textSeconds = 3_600

export interface CheckOptions {
  readonly purpose: UploadPurpose
  /**
   * Is told how many bytes of how many were read. Of files that are read a second time, for their
   * tokens, it is told that, too, from the beginning.
   */
  readonly moved?: (bytes: number, total: number) => void
  readonly signal: AbortSignal
}

export interface FileChecks extends AsyncDisposable {
  /**
   * @throws what reading the file throws, an error if the file changed meanwhile, and the reason of
   *   the signal.
   */
  check(path: string, options: CheckOptions): Promise<FileCheck>
}

/** Disposing of it ends its threads, once no check is under way. */
export function openFileChecks(contentRules: RulesConfig['contentRules'] = 'full'): FileChecks {
  const rules = openRules({
    ...{ profile: 'open', contentRules, textSeconds, maxFileTokens: limits.fileTokens },
    ...{ maxBatchBytes: limits.batchBytes, maxBatchLines: limits.batchLines },
  })

  return {
    async check(path, options) {
      await using handle = await open(path)
      return await checkOpen(handle, basename(path), rules.trialRules, options)
    },
    [Symbol.asyncDispose]: () => rules[Symbol.asyncDispose](),
  }
}

async function checkOpen(
  handle: FileHandle,
  filename: string,
  rules: ContentRules,
  { purpose, moved, signal }: CheckOptions,
): Promise<FileCheck> {
  const before = await handle.stat()
  const { size: bytes } = before
  const watched = rules.watch({ filename, purpose })
  const encoding = createEncodingWatch()
  const hash = createHash('sha256')

  async function read(start: number, end: number): Promise<Uint8Array> {
    signal.throwIfAborted()
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - start), {
      ...{ position: start, length: end - start },
    })
    if (bytesRead < end - start) throw changed()
    return buffer
  }

  async function* pieces() {
    for (let start = 0; start < bytes; start += pieceBytes) {
      const end = Math.min(bytes, start + pieceBytes)
      yield await read(start, end)
      moved?.(end, bytes)
    }
  }

  let furthest = 0

  /** Documents are not read from their beginning to their end. */
  async function readAgain(start: number, end: number): Promise<Uint8Array> {
    furthest = Math.max(furthest, end)
    moved?.(furthest, bytes)
    return read(start, end)
  }

  for await (const piece of encoding.watch(pieces())) {
    hash.update(piece)
    await watched?.add(piece)
  }
  const verdict = await rules.judge({
    ...{ filename, purpose, bytes, encoding: encoding.result() },
    ...{ watched, read: readAgain, countsTokens: true },
    asker: { owner: 'this machine', signal },
  })
  const after = await handle.stat()
  if (after.size !== bytes || after.mtimeMs !== before.mtimeMs) throw changed()
  return toFileCheck({ purpose, filename, bytes, sha256: hash.digest('hex') }, verdict)
}

function changed(): Error {
  return new Error('It changed while it was read.')
}
