/** Writes all files of a project into a tar, as they come. */

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtempDisposable, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type OpenAIFile, UnexpectedAnswerException } from '@coffer/client'
import { createTarPacker, type TarPackController } from 'modern-tar'
import type { ExportNeeds } from './export-command.ts'
import { type ExportedFile, manifestName, pathOf } from './exported-file.ts'
import { codeOf, sentenceOf } from './failures.ts'
import { openJsonLines } from './json-lines.ts'
import { printable } from './printable.ts'
import { Failure, WrongUse } from './program.ts'
import { openRemote, type RemoteContent } from './remote-content.ts'

/** Beside its name until all is there: a tar that broke off cannot be gone on with. */
export async function exportToTarFile(
  path: string,
  all: readonly OpenAIFile[],
  needs: ExportNeeds,
): Promise<void> {
  await refuseExisting(path)
  const draft = `${path}.coffer-part`
  try {
    // Synced before it is closed.
    await exportToTar(createWriteStream(draft, { flush: true }), all, needs, { end: true })
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

async function refuseExisting(path: string): Promise<void> {
  const facts = await stat(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error
    return undefined
  })
  if (facts === undefined) return
  throw new WrongUse(`${printable(path)} is there already; give another name.`)
}

/** The manifest comes last: what it tells of the bytes is known when they have passed. */
export async function exportToTar(
  output: NodeJS.WritableStream,
  all: readonly OpenAIFile[],
  needs: ExportNeeds,
  { end }: { readonly end: boolean },
): Promise<void> {
  const { readable, controller } = createTarPacker()
  const writing = pipeline(readable, output, { end, signal: needs.signal })
  // Heard below, when the entries are packed.
  writing.catch(() => undefined)
  try {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'coffer-export-'))
    const manifest = join(folder.path, manifestName)
    await packFiles(controller, all, manifest, needs)
    const { size } = await stat(manifest)
    await pack(controller, { name: manifestName, size }, createReadStream(manifest))
    controller.finalize()
  } catch (error) {
    controller.error(error)
    await writing.catch(() => undefined)
    throw error
  }
  await writing
}

async function packFiles(
  controller: TarPackController,
  all: readonly OpenAIFile[],
  manifestPath: string,
  { files, tell, begin, signal }: ExportNeeds,
): Promise<void> {
  await using manifest = await openJsonLines<ExportedFile>(
    manifestPath,
    () => undefined,
    () => {},
  )
  for (const file of all) {
    const path = pathOf(file)
    await using stack = new AsyncDisposableStack()
    const shown = begin(basename(path))
    stack.defer(() => shown.done())
    let content: RemoteContent
    let bytes: number
    try {
      content = stack.use(await openRemote(files, file, signal))
      bytes = sizeOf(content)
    } catch (error) {
      signal.throwIfAborted()
      await tell.failed(file, error)
      continue
    }
    const hash = createHash('sha256')
    let at = 0
    async function* watched(): AsyncGenerator<Uint8Array> {
      for await (const piece of content.read(0, bytes)) {
        hash.update(piece)
        at += piece.length
        yield piece
        shown.moved(at, bytes)
      }
    }
    try {
      const mtime = new Date((Number(file.created_at) || 0) * 1000)
      await pack(controller, { name: path, size: bytes, mtime }, watched())
    } catch (error) {
      signal.throwIfAborted()
      // An entry that was begun cannot be taken back.
      const where = at < bytes ? `It broke off in ${printable(file.id)}: ` : ''
      throw new Failure(`There is no tar. ${where}${sentenceOf(error)}`, { cause: error })
    }
    const exported = { path, bytes, sha256: hash.digest('hex'), file }
    await manifest.append(exported)
    tell.exported(exported)
  }
}

/** Its entry begins with its size. */
function sizeOf({ bytes }: RemoteContent): number {
  if (bytes !== undefined) return bytes
  throw new UnexpectedAnswerException('The service does not say how large it is.')
}

async function pack(
  controller: TarPackController,
  header: { name: string; size: number; mtime?: Date },
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const writer = controller.add(header).getWriter()
  for await (const piece of pieces) await writer.write(piece)
  await writer.close()
}
