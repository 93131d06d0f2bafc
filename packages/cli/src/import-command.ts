/** `coffer import`: copies the files of another service, or of an export, into a project. */

import { createHash } from 'node:crypto'
import {
  ApiClient,
  ApiException,
  Configuration,
  FilesApi,
  type OpenAIFile,
  type UploadSource,
  UploadsApi,
} from '@coffer/client'
import { httpFetch } from '@coffer/client/node'
import { type Command, Option } from 'commander'
import {
  addConnectionOptions,
  type ConnectionOptions,
  connect,
  readConnection,
} from './connection.ts'
import { listEveryFile } from './every-file.ts'
import { sentenceOf, unfinished } from './failures.ts'
import { type ImportedFile, type ImportMap, openImportMap, type SentFile } from './import-map.ts'
import { folderSource, type ImportSource, serviceSource, sourceWords } from './import-source.ts'
import { inParallel } from './in-parallel.ts'
import { interruptible } from './interruptible.ts'
import { largeBytes, uploadLarge } from './large-upload.ts'
import { jsonLine, printable } from './printable.ts'
import { type Io, WrongUse } from './program.ts'
import { type FileProgress, showProgress } from './progress.ts'
import { count, size } from './readable.ts'
import { createUploadStates, type UploadKey, type UploadStates } from './upload-states.ts'

/** What an upload may be for; the rest only servers make. */
const uploadPurposes = ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals']

/** What such files are for at the target: it takes any content. */
const otherPurpose = 'user_data'

/** How often a file is sent whole when no answer comes. */
const mostTries = 3

/** Of the seconds until a file expires, which an upload may ask for. */
const leastSeconds = 3600
const mostSeconds = 30 * 24 * 3600

interface ImportOptions extends ConnectionOptions {
  readonly fromUrl?: string
  readonly fromKey?: string
  readonly fromFolder?: string
  readonly map: string
  readonly dryRun?: true
  readonly json?: true
}

export function addImportCommand(program: Command, io: Io): void {
  addConnectionOptions(program.command('import'))
    .description('Copy the files of another service, or of an export, into a project.')
    .option('--from-url <url>', `the service, with its version (env: ${sourceWords.urlName})`)
    .option(
      '--from-key <key>',
      `its API key; better in the environment (env: ${sourceWords.keyName})`,
    )
    .addOption(
      new Option(
        '--from-folder <folder>',
        'in place of a service, what coffer export wrote',
      ).conflicts(['fromUrl', 'fromKey']),
    )
    .requiredOption('--map <file>', 'where the old and new ids are kept, for later runs too')
    .option('--dry-run', 'only print what would be copied')
    .option('--json', 'print the line of the map for each file')
    .addHelpText(
      'after',
      '\nPrints the old id, the new id and the name of each file. The map has the same as lines of\n' +
        'JSON. With the same map, the same command copies what is missing or new:\n' +
        '  export COFFER_IMPORT_API_KEY=sk-…\n' +
        '  coffer import --from-url https://api.openai.com/v1 --map imported.jsonl',
    )
    .action((options: ImportOptions) =>
      interruptible(
        io,
        (signal) => importFiles(options, io, signal),
        'Stopped; the same command goes on from here.',
      ),
    )
}

async function importFiles(options: ImportOptions, io: Io, signal: AbortSignal): Promise<void> {
  const client = connect(options, io)
  const source = findSource(options, client, io)
  const files = new FilesApi(client)
  await using map = await openImportMap(options.map, source.url, options.dryRun === true)
  const { files: all, unlisted } = await source.list(signal)
  const present = await findPresent(files, map, signal)
  const missing = all.filter(({ id }) => map.find(id).isDisjointFrom(present))
  const there = all.length - missing.length
  if (options.dryRun) return tellPlan(missing, there, options, io)

  const progress = showProgress(io)
  const states = statesOfImport(createUploadStates(io.env))
  const needs: CopyNeeds = {
    ...{ source, files, uploads: new UploadsApi(client), map, states },
    target: client.configuration.host,
  }
  const sum = { imported: 0, bytes: 0, changed: 0, failed: 0 }
  try {
    await inParallel(missing, 4, signal, async (file) => {
      const shown = progress.begin(nameOf(file))
      let imported: ImportedFile | undefined
      try {
        imported = await copy(file, needs, { signal, onProgress: shown.moved })
      } catch (error) {
        signal.throwIfAborted()
        sum.failed += 1
        progress.note(`Not imported: ${printable(file.id)}: ${sentenceOf(error)}`)
        return
      } finally {
        shown.done()
      }
      if (imported === undefined) {
        progress.note(`Not imported: ${printable(file.id)}: It was deleted meanwhile.`)
        return
      }
      // What is not in the map would be copied again, so that a full disk ends the import here.
      await map.keep(imported)
      sum.imported += 1
      sum.bytes += bytesOf(file)
      if (imported.source_purpose !== imported.target_purpose) sum.changed += 1
      progress.print(options.json ? jsonLine(imported) : lineOf(imported))
    })
    if (unlisted > 0) {
      sum.failed += unlisted
      progress.note(
        `Not imported: ${count(unlisted, 'file')} that the source counts and does not list.`,
      )
    }
  } finally {
    progress.end()
  }
  if (sum.changed > 0) {
    const those = sum.changed === 1 ? 'One has' : `${count(sum.changed)} have`
    io.stderr.write(`${those} the purpose ${otherPurpose}, as only servers make files of theirs.\n`)
  }
  if (sum.failed > 0) throw unfinished(sum.imported + there, sum.failed, 'imported')
  const also = there > 0 ? `, and ${count(there)} there already` : ''
  io.stderr.write(`${count(sum.imported, 'file')} imported, ${size(sum.bytes)}${also}.\n`)
}

/** @throws WrongUse if the source is not named, or is the target. */
function findSource(
  { fromUrl: url, fromKey: key, fromFolder }: ImportOptions,
  { configuration: to }: ApiClient,
  { env }: Io,
): ImportSource {
  if (fromFolder !== undefined) return folderSource(fromFolder)
  const facts = readConnection({ url, key }, env, sourceWords)
  const from = new Configuration({ ...facts, fetch: httpFetch })
  if (from.host === to.host && from.accessToken === to.accessToken && to.project === undefined) {
    throw new WrongUse('These are the same files: give another --from-url or --from-key.')
  }
  return serviceSource(from.host, new FilesApi(new ApiClient(from)))
}

/** The ids at the target, where that matters; what earlier runs sent last goes to the map. */
async function findPresent(
  files: FilesApi,
  map: ImportMap,
  signal: AbortSignal,
): Promise<Set<string>> {
  if (map.isEmpty) return new Set()
  const { files: present } = await listEveryFile(files, signal)
  for (const { sha256, ...sent } of map.sent()) {
    const taken = findTaken({ ...sent, sha256 }, present, map)
    if (taken === undefined) map.forgetSent(sent.source_id)
    else await map.keep({ ...sent, target_id: taken.id })
  }
  return new Set(present.map(({ id }) => id))
}

/** What a file that was sent has become; only Coffer tells enough to know. */
function findTaken(
  { sha256, filename, target_purpose }: SentFile,
  present: readonly OpenAIFile[],
  map: ImportMap,
): OpenAIFile | undefined {
  return present.find(
    (file) =>
      file.sha256 === sha256 &&
      file.filename === filename &&
      file.purpose === target_purpose &&
      !map.hasTarget(file.id),
  )
}

function tellPlan(
  missing: readonly OpenAIFile[],
  there: number,
  { json }: ImportOptions,
  { stdout, stderr }: Io,
): void {
  for (const file of missing) {
    stdout.write(json ? jsonLine(file) : `${printable(file.id)}  ${printable(nameOf(file))}\n`)
  }
  const bytes = missing.reduce((sum, file) => sum + bytesOf(file), 0)
  const also = there > 0 ? `, and ${count(there)} there already` : ''
  stderr.write(`${count(missing.length, 'file')} to import, ${size(bytes)}${also}.\n`)
}

interface CopyNeeds {
  readonly source: ImportSource
  readonly files: FilesApi
  readonly uploads: UploadsApi
  readonly map: ImportMap
  /** Its base URL. */
  readonly target: string
  readonly states: UploadStates
}

interface CopyOptions {
  readonly signal: AbortSignal
  readonly onProgress: FileProgress['moved']
}

/** @returns undefined for a file that was deleted meanwhile. */
async function copy(
  file: OpenAIFile,
  { source, files, uploads, map, target, states }: CopyNeeds,
  options: CopyOptions,
): Promise<ImportedFile | undefined> {
  await using opened = await source.open(file, options.signal)
  if (opened === undefined) return undefined
  const { bytes } = opened.source
  const filename = nameOf(file)
  const sourcePurpose = String(file.purpose ?? '')
  const purpose = uploadPurposes.includes(sourcePurpose) ? sourcePurpose : otherPurpose
  const expiresAfterSeconds = lifetimeOf(file)
  const about = {
    ...{ source: source.url, source_id: file.id, target, filename },
    ...{ source_purpose: sourcePurpose, target_purpose: purpose },
  }
  if (bytes !== undefined && bytes > largeBytes) {
    const path = `${source.url}/files/${file.id}`
    const key = { host: target, path, purpose, filename, expiresAfterSeconds }
    // Its notes are about an option of another command.
    const needs = { files, uploads, states, resume: true, note() {} }
    const large = { path, key, source: opened.source }
    // One part after the other, as they come from the source.
    const stored = await uploadLarge(needs, large, { ...options, parallel: 1 })
    return { ...about, target_id: stored.id }
  }
  let sent: SentFile | undefined
  const watched: UploadSource = {
    ...opened.source,
    async *open() {
      if (sent !== undefined)
        throw new AnswerLost('The target did not say whether it has the file.')
      const hash = createHash('sha256')
      for await (const piece of opened.source.open()) {
        hash.update(piece)
        yield piece
      }
      sent = { ...about, sha256: hash.digest('hex') }
      // The end of the form is not sent yet, so that the target cannot have the file before.
      await map.keepSent(sent)
    },
  }
  for (let tries = 1; ; tries += 1) {
    try {
      const request = { ...options, filename, expiresAfterSeconds }
      const stored = await files.createFile(watched, purpose, request)
      return { ...about, target_id: stored.id }
    } catch (error) {
      options.signal.throwIfAborted()
      if (isRefusal(error)) map.forgetSent(file.id)
      if (sent === undefined || isRefusal(error) || tries === mostTries) throw error
      // It may be there by now.
      const { files: present } = await listEveryFile(files, options.signal)
      const taken = findTaken(sent, present, map)
      if (taken !== undefined) return { ...about, target_id: taken.id }
      sent = undefined
    }
  }
}

/** Keeps the client from sending a file again that the target may have. */
class AnswerLost extends Error {
  override readonly name = 'AnswerLost'
}

/** Whether the target has answered, so that it has no file. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiException && error.status !== undefined && error.status < 500
}

function nameOf({ id, filename }: OpenAIFile): string {
  return typeof filename === 'string' && filename !== '' ? filename : id
}

function bytesOf({ bytes }: OpenAIFile): number {
  return typeof bytes === 'number' ? bytes : 0
}

/** The time that is left, where an upload can ask for it; longer than that is for ever. */
function lifetimeOf({ expires_at }: OpenAIFile): number | undefined {
  // For some services never is 0.
  if (typeof expires_at !== 'number' || expires_at <= 0) return undefined
  const left = expires_at - Math.floor(Date.now() / 1000)
  return left > mostSeconds ? undefined : Math.max(leastSeconds, left)
}

/** The time that is left is another at each run, and yet it is the same upload. */
function statesOfImport(states: UploadStates): UploadStates {
  const same = (key: UploadKey): UploadKey => ({ ...key, expiresAfterSeconds: undefined })
  return {
    find: (key) => states.find(same(key)),
    keep: (key, state) => states.keep(same(key), state),
    forget: (key) => states.forget(same(key)),
  }
}

function lineOf({ source_id, target_id, filename }: ImportedFile): string {
  return `${printable(source_id)}  ${printable(target_id)}  ${printable(filename)}\n`
}
