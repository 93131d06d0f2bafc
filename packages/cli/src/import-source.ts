/** Where files are imported from: another service. */

import type { FilesApi, OpenAIFile, UploadSource } from '@coffer/client'
import type { ConnectionWords } from './connection-words.ts'
import { type EveryFile, isGone, listEveryFile } from './every-file.ts'
import { sentenceOf } from './failures.ts'
import { openRemote } from './remote-content.ts'

export interface ImportSource {
  list(signal: AbortSignal): Promise<EveryFile>
  /** Rejects with a SourceFailure; undefined for a file that was deleted since it was listed. */
  open(file: OpenAIFile, signal: AbortSignal): Promise<OpenedFile | undefined>
}

export interface OpenedFile extends AsyncDisposable {
  /** May be sent in parts if its size is known, one after the other. */
  readonly source: UploadSource
}

/** What went wrong where a file comes from, and not where it goes. */
export class SourceFailure extends Error {
  override readonly name = 'SourceFailure'
}

export const sourceWords: ConnectionWords = {
  which: 'From where?',
  ...{ urlName: 'COFFER_IMPORT_BASE_URL', urlOption: '--from-url' },
  ...{ keyName: 'COFFER_IMPORT_API_KEY', keyOption: '--from-key' },
}

export function serviceSource(files: FilesApi): ImportSource {
  function fail(error: unknown, signal: AbortSignal): never {
    signal.throwIfAborted()
    throw new SourceFailure(sentenceOf(error, sourceWords), { cause: error })
  }

  return {
    list: (signal) => listEveryFile(files, signal).catch((error) => fail(error, signal)),
    async open(file, signal) {
      try {
        const content = await openRemote(files, file, signal)
        async function* read(start: number, end: number | undefined): AsyncGenerator<Uint8Array> {
          try {
            yield* content.read(start, end)
          } catch (error) {
            fail(error, signal)
          }
        }
        const sourceOf = (start: number, end: number | undefined): UploadSource => ({
          name: undefined,
          bytes: end === undefined ? undefined : end - start,
          isReplayable: true,
          open: () => read(start, end),
          slice: (from, to) => sourceOf(start + from, start + to),
        })
        const dispose = () => content[Symbol.asyncDispose]()
        return { source: sourceOf(0, content.bytes), [Symbol.asyncDispose]: dispose }
      } catch (error) {
        if (await isGone(files, file.id, error, signal)) return undefined
        return fail(error, signal)
      }
    },
  }
}
