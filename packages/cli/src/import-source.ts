/** Where files are imported from: another service, or a folder with an export. */

import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FilesApi, OpenAIFile, UploadSource } from '@coffer/client'
import { fileFromPath } from '@coffer/client/node'
import type { ConnectionWords } from './connection-words.ts'
import { type EveryFile, isGone, listEveryFile } from './every-file.ts'
import {
  type ExportedFile,
  isThere,
  manifestName,
  pathOf,
  readExportedFile,
} from './exported-file.ts'
import { codeOf, sentenceOf } from './failures.ts'
import { readJsonLines } from './json-lines.ts'
import { printable } from './printable.ts'
import { Failure } from './program.ts'
import { openRemote } from './remote-content.ts'

export interface ImportSource {
  /** Stands for it in the map. */
  readonly url: string
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

export function serviceSource(url: string, files: FilesApi): ImportSource {
  function fail(error: unknown, signal: AbortSignal): never {
    signal.throwIfAborted()
    throw new SourceFailure(sentenceOf(error, sourceWords), { cause: error })
  }

  return {
    url,
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

/** @param folder that `coffer export` has written. */
export function folderSource(folder: string): ImportSource {
  const lines = new Map<string, ExportedFile>()
  return {
    url: pathToFileURL(resolve(folder)).href,
    async list() {
      const place = join(folder, manifestName)
      await stat(place).catch((cause: unknown) => {
        const sentence = `${printable(folder)} is no export: it has no ${manifestName}.`
        throw codeOf(cause) === 'ENOENT' ? new Failure(sentence, { cause }) : cause
      })
      await readJsonLines(place, readExportedFile, (line) => lines.set(line.file.id, line))
      return { files: [...lines.values()].map(({ file }) => file), unlisted: 0 }
    },
    async open(file, signal) {
      const path = pathOf(file)
      const line = lines.get(file.id)
      if (line?.path !== path || !(await isThere(folder, line, signal))) {
        throw new SourceFailure('Its bytes are not as the manifest says.')
      }
      const source = await fileFromPath(join(folder, path))
      return { source, async [Symbol.asyncDispose]() {} }
    },
  }
}
