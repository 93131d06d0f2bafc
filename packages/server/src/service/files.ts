/** Files: create, check, list, retrieve, delete and read, for a caller. */

import {
  type DeletedFile,
  type File,
  type FileCheck,
  type FilePage,
  type ListFilesQuery,
  limits,
  Purpose,
  type UploadPurpose,
} from '@coffer/contract'
import type { ByteRange, LinkOptions } from '../blobs/blob-driver.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { ContentRules, Verdict } from '../content-rules/content-rules.ts'
import { oneFault } from '../content-rules/fault-list.ts'
import type { FileRow, Segment } from '../metadata/files.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { Caller } from './access.ts'
import type { Clock } from './clock.ts'
import { type Downloads, isDownloadable, type Profile } from './downloads.ts'
import {
  contentDamaged,
  contentRefused,
  downloadNotAllowed,
  fileNotFound,
  fileTooLarge,
  quotaExceeded,
  uploadTooSlow,
} from './errors.ts'
import { toFileCheck } from './file-check.ts'
import type { Ids } from './ids.ts'
import type { Log } from './log.ts'
import type { Measures } from './measures.ts'
import type { Removal } from './removal.ts'
import { rangeReader, readSegments, requireLoss } from './segments.ts'
import type { StagedContent, Staging } from './staging.ts'
import type { StoreBinding } from './store-binding.ts'

export interface FileSettings {
  readonly profile: Profile
  readonly downloads: Downloads
  readonly maxFileBytes: number
  readonly organizationQuotaBytes: number
}

export interface NewFile {
  readonly filename: string
  readonly purpose: UploadPurpose
  /** Seconds from its creation until the file is gone; by default the purpose decides. */
  readonly expiresAfter: number | undefined
}

export interface FileContent {
  readonly file: File
  /** What no other content has: the SHA-256 in lower-case hexadecimal, where that was taken. */
  readonly tag: string
  /** Whether the whole content is UTF-8. */
  readonly isText: boolean
  /** Yields exactly the bytes of `range`, which must lie within the file. */
  read(range: ByteRange): AsyncIterable<Uint8Array>
  /** Gives a URL from which anybody who has it can read the whole content; undefined where nobody can. */
  readonly link: ((options: LinkOptions) => Promise<string>) | undefined
}

/** What is known of content before its first byte. */
export interface KnownContent {
  /** Whether it is only to be checked, so that nothing that is wrong with it ends its upload. */
  readonly isTrial?: boolean
  readonly filename: string
  readonly purpose: UploadPurpose | undefined
  /** Whether `refuseEarly` was told how many bytes may come. */
  readonly isBounded: boolean
}

export interface Files {
  /** Refuses what is known to be too large before any of it is read. */
  refuseEarly(caller: Caller, leastBytes: number): Promise<void>
  /** Writes the content of a file to be, whose purpose may not be known yet. */
  stage(
    caller: Caller,
    source: AsyncIterable<Uint8Array>,
    known: KnownContent,
  ): Promise<StagedContent>
  /** @param signal ends the reading of long documents, before anything is kept. */
  create(caller: Caller, content: StagedContent, file: NewFile, signal: AbortSignal): Promise<File>
  /** Tells what `create` would find wrong, and keeps nothing. */
  check(
    caller: Caller,
    content: StagedContent,
    file: NewFile,
    signal: AbortSignal,
  ): Promise<FileCheck>
  list(caller: Caller, query: ListFilesQuery): Promise<FilePage>
  /** Undefined if there is no such file. */
  find(caller: Caller, id: string): Promise<File | undefined>
  retrieve(caller: Caller, id: string): Promise<File>
  delete(caller: Caller, id: string): Promise<DeletedFile>
  open(caller: Caller, id: string): Promise<FileContent>
}

export interface FilesNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly staging: Staging
  readonly removal: Removal
  readonly binding: Pick<StoreBinding, 'check'>
  readonly rules: ContentRules
  /** Those that `check` asks for. */
  readonly trialRules: ContentRules
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly measures: Measures
  readonly settings: FileSettings
}

export function createFiles(needs: FilesNeeds): Files {
  const { metadata, blobs, staging, removal, binding, rules, trialRules } = needs
  const { clock, ids, log, measures, settings } = needs
  const { profile, downloads, maxFileBytes, organizationQuotaBytes } = settings

  async function find({ project_id }: Caller, id: string): Promise<FileRow> {
    const row = await metadata.findFile({ project_id, id, now: clock.now() })
    if (row === undefined) throw fileNotFound(id)
    return row
  }

  /** Content of several blobs has no URL of its own; what is damaged is told of by us. */
  function linkTo({ damaged_at }: FileRow, segments: readonly Segment[]): FileContent['link'] {
    const [segment] = segments
    const isOne = segments.length === 1 && damaged_at === null
    if (downloads === 'stream' || !isOne || segment === undefined) return undefined
    const { link } = blobs
    return link && ((options) => link(segment.blob_id, options))
  }

  /** Where a page begins; a file that was deleted lately still marks its place. */
  async function findPosition({ project_id }: Caller, id: string) {
    const position = await metadata.findFilePosition({ project_id, id })
    if (position === undefined) throw fileNotFound(id, 'after')
    return position
  }

  /** @throws ServiceError `content_refused` if it is clear already that the file cannot be. */
  function requireForeseen(filename: string, purpose: UploadPurpose, bytes = 0): void {
    const fault = rules.foresee({ filename, purpose, bytes })
    if (fault !== undefined) throw contentRefused(oneFault(fault))
  }

  function wholeOf(
    { project_id: owner }: Caller,
    content: StagedContent,
    { filename, purpose }: NewFile,
    signal: AbortSignal,
  ) {
    const { bytes, encoding, watched } = content
    const read = rangeReader(blobs, [content])
    const asker = { owner, signal }
    return { filename, purpose, bytes, encoding, watched, read, asker }
  }

  async function* read(caller: Caller, id: string, segments: Segment[], range: ByteRange) {
    try {
      yield* readSegments(blobs, segments, range)
    } catch (error) {
      // The file may have been deleted since its row was read.
      const loss = await requireLoss(error, () => find(caller, id), binding)
      measures.add('blob_integrity_failures')
      log.error({ err: loss, file: id }, 'the content of a file is damaged or missing')
      await metadata.markDamagedFile({ project_id: caller.project_id, id, now: clock.now() })
      throw contentDamaged(loss)
    }
  }

  return {
    async refuseEarly({ organization_id }, leastBytes) {
      if (leastBytes > maxFileBytes) throw fileTooLarge(maxFileBytes)
      // Nothing is known of a small file or of a body without a length; the commit will tell.
      if (leastBytes === 0) return
      const used = await metadata.findUsedBytes({ organization_id })
      if (used + leastBytes > organizationQuotaBytes) throw quotaExceeded(organizationQuotaBytes)
    },

    async stage({ organization_id }, source, { filename, purpose, isBounded, isTrial = false }) {
      if (!isTrial && purpose !== undefined) requireForeseen(filename, purpose)
      // Of content without an end in sight no more is taken than there is room for.
      const used = isBounded ? 0 : await metadata.findUsedBytes({ organization_id })
      const room = isBounded ? maxFileBytes : Math.max(0, organizationQuotaBytes - used)
      const most = isTrial ? maxFileBytes : rules.mostBytes(purpose)
      return staging.stage(source, {
        maxBytes: Math.min(maxFileBytes, room, most),
        tooLarge() {
          if (room < Math.min(maxFileBytes, most)) return quotaExceeded(organizationQuotaBytes)
          if (purpose !== undefined && most < maxFileBytes)
            requireForeseen(filename, purpose, most + 1)
          return fileTooLarge(maxFileBytes)
        },
        watch: (isTrial ? trialRules : rules).watch({ filename, purpose }),
      })
    },

    async create(caller, content, file, signal) {
      const { filename, purpose, expiresAfter } = file
      const { blob_id, bytes, sha256, checksums, encoding } = content
      const whole = wholeOf(caller, content, file, signal)
      const verdict = await rules.judge({ ...whole, countsTokens: false })
      if (verdict.faultCount > 0) throw contentRefused(verdict)
      const created_at = clock.now()
      const lifetime = lifetimeOf(purpose, expiresAfter)
      const row = {
        ...{ id: ids.file(), purpose, filename, bytes, sha256, encoding, created_at },
        expires_at: lifetime === null ? null : created_at + lifetime,
        ...factsOf(verdict),
      }
      const outcome = await metadata.addFile({
        file: { ...row, ...caller, segments: [{ blob_id, bytes, checksums }] },
        quota_bytes: organizationQuotaBytes,
      })
      switch (outcome) {
        case 'added':
          content.keep()
          return toFile({ ...row, damaged_at: null })
        case 'quota-exceeded':
          throw quotaExceeded(organizationQuotaBytes)
        case 'blob-swept':
          throw uploadTooSlow()
        default:
          return outcome satisfies never
      }
    },

    async check(caller, content, file, signal) {
      const whole = wholeOf(caller, content, file, signal)
      const verdict = await trialRules.judge({ ...whole, countsTokens: true })
      const { bytes, sha256 } = content
      const { filename, purpose } = file
      return toFileCheck({ purpose, filename, bytes, sha256 }, verdict)
    },

    async list(caller, { order, limit, purpose, after }) {
      const rows = await metadata.listFiles({
        project_id: caller.project_id,
        now: clock.now(),
        order,
        // One more than asked for tells whether there is another page.
        limit: limit + 1,
        purpose,
        after: after === undefined ? undefined : await findPosition(caller, after),
      })
      const data = rows.slice(0, limit).map(toFile)
      return {
        object: 'list',
        data,
        first_id: data.at(0)?.id ?? null,
        last_id: data.at(-1)?.id ?? null,
        has_more: rows.length > limit,
      }
    },

    async find({ project_id }, id) {
      const row = await metadata.findFile({ project_id, id, now: clock.now() })
      return row && toFile(row)
    },

    async retrieve(caller, id) {
      return toFile(await find(caller, id))
    },

    async delete({ project_id }, id) {
      const loose = await metadata.deleteFile({ project_id, id, now: clock.now() })
      if (loose === undefined) throw fileNotFound(id)
      // The file is gone with its row; the caller need not wait for the disk.
      void removal.remove(loose)
      return { id, object: 'file', deleted: true }
    },

    async open(caller, id) {
      const { project_id } = caller
      // Before the row: a file that is there afterwards had all its segments then.
      const segments = await metadata.listSegments({ project_id, file_id: id })
      const row = await find(caller, id)
      if (!isDownloadable(row.purpose, profile)) throw downloadNotAllowed(row.purpose)
      return {
        file: toFile(row),
        // The content of an id never changes.
        tag: row.sha256 === '' ? row.id : row.sha256,
        isText: row.encoding === 'utf-8',
        read: (range) => read(caller, id, segments, range),
        link: linkTo(row, segments),
      }
    },
  }
}

/** Seconds from its creation until a file expires, if it does. @param wished by its uploader. */
export function lifetimeOf(purpose: UploadPurpose, wished: number | undefined): number | null {
  return wished ?? (purpose === 'batch' ? limits.batchSeconds : null)
}

/** What a verdict tells of a file, as columns. */
export function factsOf({ lines, tokens, mimeType }: Verdict) {
  return { mime_type: mimeType, num_lines: lines ?? null, tokens: tokens ?? null }
}

function toFile(row: FileRow): File {
  const { id, purpose, filename, bytes, created_at, expires_at, damaged_at } = row
  const { sha256, mime_type, num_lines, tokens } = row
  // In the vendor's order of keys (contract §1.3).
  return {
    object: 'file',
    id,
    purpose: Purpose.parse(purpose),
    filename,
    bytes,
    created_at,
    expires_at,
    status: damaged_at === null ? 'processed' : 'error',
    status_details:
      damaged_at === null ? null : 'The content is damaged or missing in the storage.',
    // Extensions, where they are known.
    ...(sha256 === '' ? {} : { sha256 }),
    ...(mime_type === null ? {} : { mime_type }),
    ...(num_lines === null ? {} : { num_lines }),
    ...(tokens === null ? {} : { tokens }),
  }
}
