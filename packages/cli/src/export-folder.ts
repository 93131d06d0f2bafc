/** Writes all files of a project into a folder, and goes on where an earlier call ended. */

import { mkdir, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type OpenAIFile, UnexpectedAnswerException } from '@coffer/client'
import { downloadToFile } from '@coffer/client/node'
import type { ExportNeeds } from './export-command.ts'
import {
  type ExportedFile,
  isThere,
  manifestName,
  pathOf,
  readExportedFile,
} from './exported-file.ts'
import { inParallel } from './in-parallel.ts'
import { openJsonLines } from './json-lines.ts'

export async function exportToFolder(
  folder: string,
  all: readonly OpenAIFile[],
  { files, tell, begin, signal }: ExportNeeds,
): Promise<void> {
  await mkdir(folder, { recursive: true })
  const known = new Map<string, Omit<ExportedFile, 'file'>>()
  await using manifest = await openJsonLines(
    join(folder, manifestName),
    readExportedFile,
    ({ file, path, bytes, sha256 }) => known.set(file.id, { path, bytes, sha256 }),
  )
  await inParallel(all, 4, signal, async (file) => {
    const path = pathOf(file)
    const place = join(folder, path)
    const before = known.get(file.id)
    const shown = begin(basename(path))
    let exported: ExportedFile
    try {
      if (before?.path === path && (await isThere(folder, before, signal))) {
        tell.wasThere()
        return
      }
      await mkdir(dirname(place), { recursive: true })
      const options = { signal, overwrite: true, onProgress: shown.moved }
      const { bytes, sha256 } = await downloadToFile(files, file.id, place, options)
      exported = { path, bytes, sha256, file }
      if (typeof file.bytes === 'number' && file.bytes !== bytes) {
        await rm(place)
        throw new UnexpectedAnswerException(`${bytes} bytes came of ${file.bytes}.`)
      }
    } catch (error) {
      signal.throwIfAborted()
      // Only where nothing of it has come.
      await rmdir(dirname(place)).catch(() => undefined)
      await tell.failed(file, error)
      return
    } finally {
      shown.done()
    }
    // Without its line nothing would be known of it, so that a full disk ends the export here.
    await manifest.append(exported)
    tell.exported(exported)
  })
}
