/** Uploads: content that comes in parts, in any order, and becomes a file in one step. */

import { hash } from 'node:crypto'
import {
  limits,
  type Upload,
  type UploadPart,
  type UploadPartPage,
  type UploadPurpose,
} from '@coffer/contract'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { ContentRules } from '../content-rules/content-rules.ts'
import { oneFault } from '../content-rules/fault-list.ts'
import { joinTextEdges, type TextEdges, type TextEncoding } from '../content-rules/text-encoding.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import type { PartRow, UploadRow } from '../metadata/uploads.ts'
import type { Caller } from './access.ts'
import type { Clock } from './clock.ts'
import {
  contentDamaged,
  contentMd5Differs,
  contentRefused,
  offsetDiffers,
  partBeyondUpload,
  partDamaged,
  partsMissized,
  partsTooMany,
  partTooLarge,
  partUnknown,
  quotaExceeded,
  uploadNotFound,
  uploadNotPending,
  uploadTooSlow,
} from './errors.ts'
import { type Files, factsOf, lifetimeOf } from './files.ts'
import type { Ids } from './ids.ts'
import type { Removal } from './removal.ts'
import { rangeReader, readSegments, requireLoss } from './segments.ts'
import { createSharedWork } from './shared-work.ts'
import type { StagedContent, Staging } from './staging.ts'
import type { StoreBinding } from './store-binding.ts'

/** How many completions read their bytes at once, however many ask for it. */
const readAtOnce = 2

export interface UploadSettings {
  readonly maxPartBytes: number
  readonly uploadSeconds: number
  readonly organizationQuotaBytes: number
}

export interface NewUpload {
  readonly filename: string
  readonly purpose: UploadPurpose
  readonly bytes: number
  /** As the client wrote it; it need not be a type at all (contract §1.6). */
  readonly mimeType: string
  /** Seconds from the creation of the file until it is gone; by default the purpose decides. */
  readonly expiresAfter: number | undefined
  /** What a tus client said of it, as it said it. */
  readonly tusMetadata?: string | undefined
}

/** An Upload whose content comes from its beginning to its end. */
export interface Progress {
  readonly upload: Upload
  /** How many of its first bytes are stored. */
  readonly arrivedBytes: number
  readonly tusMetadata: string
}

export interface Completion {
  /** The order of the bytes. */
  readonly partIds: readonly string[]
  /** Of the whole content, in lower-case hexadecimal. */
  readonly md5: string | undefined
  /** Ends the waiting while the bytes are read, which may take a minute; who asks again finds it done. */
  readonly signal: AbortSignal
}

export interface Uploads {
  create(caller: Caller, upload: NewUpload): Promise<Upload>
  retrieve(caller: Caller, id: string): Promise<Upload>
  /** The parts of a pending Upload, in the order in which they came. */
  listParts(
    caller: Caller,
    id: string,
    query: { limit: number; after: string | undefined },
  ): Promise<UploadPartPage>
  /** Refuses a part that cannot be taken before any of it is read. */
  refuseEarly(caller: Caller, id: string, leastBytes: number): Promise<void>
  /** Writes the content of a part to be. */
  stage(caller: Caller, id: string, source: AsyncIterable<Uint8Array>): Promise<StagedContent>
  /**
   * Makes the content a part. The same bytes sent again are the same part.
   *
   * @param sha256 what the client says it has sent, in lower-case hexadecimal.
   */
  addPart(
    caller: Caller,
    id: string,
    content: StagedContent,
    sha256: string | undefined,
  ): Promise<UploadPart>
  /** Makes the Upload a file. The same once more gives the same answer. */
  complete(caller: Caller, id: string, completion: Completion): Promise<Upload>
  cancel(caller: Caller, id: string): Promise<Upload>
  /** How far an Upload is that a tus client has created; no other grows by `append`. */
  findProgress(caller: Caller, id: string): Promise<Progress>
  /** Makes the content a part behind the `offset` bytes that have come, or refuses if others have. */
  append(caller: Caller, id: string, content: StagedContent, offset: number): Promise<void>
  /** Completes an Upload of all its parts as they came. */
  finish(caller: Caller, id: string): Promise<Upload>
}

/** What content of parts was found to be. */
type Judged = { readonly encoding: TextEncoding } & ReturnType<typeof factsOf>

export interface UploadsNeeds {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  readonly files: Pick<Files, 'find'>
  readonly staging: Staging
  readonly removal: Removal
  readonly binding: Pick<StoreBinding, 'check'>
  readonly rules: ContentRules
  readonly clock: Clock
  readonly ids: Ids
  readonly settings: UploadSettings
}

export function createUploads(needs: UploadsNeeds): Uploads {
  const { metadata, blobs, files, staging, removal, binding, rules, clock, ids, settings } = needs
  const { maxPartBytes, uploadSeconds, organizationQuotaBytes } = settings

  const checked = createSharedWork<Upload>(readAtOnce)

  async function find({ project_id }: Caller, id: string): Promise<UploadRow> {
    const row = await metadata.findUpload({ project_id, id })
    if (row === undefined) throw uploadNotFound(id)
    const isExpired = row.status === 'pending' && row.expires_at <= clock.now()
    return isExpired ? { ...row, status: 'expired' } : row
  }

  async function findPending(caller: Caller, id: string): Promise<UploadRow> {
    const row = await find(caller, id)
    if (row.status !== 'pending') throw uploadNotPending(id, row.status)
    return row
  }

  async function toUpload(caller: Caller, row: UploadRow): Promise<Upload> {
    const { id, bytes, created_at, filename, status, expires_at, file_id } = row
    // The file may have been deleted since.
    const file = file_id === null ? null : ((await files.find(caller, file_id)) ?? null)
    const purpose = row.purpose as UploadPurpose
    return {
      ...{ id, object: 'upload', bytes, created_at, filename },
      ...{ purpose, status, expires_at, file },
    }
  }

  /** Reads the bytes of parts, which may be lost, or cancelled meanwhile. */
  async function readParts<Result>(
    caller: Caller,
    id: string,
    read: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await read()
    } catch (error) {
      throw contentDamaged(await requireLoss(error, () => findPending(caller, id), binding))
    }
  }

  async function requireMd5(
    { bytes }: UploadRow,
    parts: readonly PartRow[],
    md5: string,
  ): Promise<void> {
    const found = await blobs.md5(readSegments(blobs, parts, { start: 0, end: bytes }))
    if (found !== md5) throw contentMd5Differs(md5, found)
  }

  /** @throws ServiceError `content_refused`; what reading the parts throws. */
  async function judge(
    { project_id: owner }: Caller,
    upload: UploadRow,
    parts: readonly PartRow[],
  ): Promise<Judged> {
    const { filename, purpose, bytes } = upload
    const encoding = joinTextEdges(parts.map(toEdges))
    const read = rangeReader(blobs, parts)
    const verdict = await rules.judge({
      ...{ filename, purpose, bytes, encoding, read, countsTokens: false },
      // What is begun is done, so that who asks again finds it.
      asker: { owner, signal: new AbortController().signal },
    })
    if (verdict.faultCount > 0) throw contentRefused(verdict)
    return { encoding, ...factsOf(verdict) }
  }

  async function addPart(
    caller: Caller,
    id: string,
    content: StagedContent,
    offset?: number,
  ): Promise<UploadPart> {
    const { blob_id, bytes, sha256, checksums, edges } = content
    const now = clock.now()
    const part = {
      ...{ id: ids.part(), blob_id, bytes, sha256, checksums },
      ...{ encoding: writeEdges(edges), created_at: now },
    }
    const { project_id } = caller
    const most_parts = limits.uploadParts
    const outcome = await metadata.addPart({ project_id, id, part, offset, most_parts, now })
    if (outcome === 'blob-swept') throw uploadTooSlow()
    switch (outcome.outcome) {
      case 'added':
        content.keep()
        return toPart(id, part)
      case 'known':
        return toPart(id, { ...part, id: outcome.id, created_at: outcome.created_at })
      case 'too-many-bytes':
        throw partBeyondUpload((await find(caller, id)).bytes)
      case 'too-many-parts':
        throw partsTooMany()
      case 'elsewhere':
        throw offsetDiffers(offset ?? 0)
      case 'not-pending':
        await findPending(caller, id)
        throw new Error(`${id} is pending, and was not when a part was added.`)
      default:
        return outcome satisfies never
    }
  }

  async function complete(
    caller: Caller,
    id: string,
    { partIds, md5, signal }: Completion,
  ): Promise<Upload> {
    const { project_id } = caller
    // Before the row: an Upload that is pending afterwards had all of these then.
    const parts = new Map<string, PartRow>()
    for (const part of await metadata.listParts({ project_id, id })) parts.set(part.id, part)
    const upload = await find(caller, id)
    if (isSame(upload, partIds)) return toUpload(caller, upload)
    if (upload.status !== 'pending') throw uploadNotPending(id, upload.status)

    const chosen = partIds.map((part_id) => {
      const part = parts.get(part_id)
      if (part === undefined) throw partUnknown(part_id)
      return part
    })
    const bytes = chosen.reduce((sum, part) => sum + part.bytes, 0)
    if (bytes !== upload.bytes) throw partsMissized(bytes, upload.bytes)
    if (md5 === undefined && !rules.looksAt(upload.purpose)) {
      return commit(caller, upload, chosen, await judge(caller, upload, chosen))
    }
    const key = JSON.stringify([id, md5, hash('sha256', partIds.join())])
    return checked.ask(key, signal, async () => {
      // While it waited for its turn another request may have completed it.
      const now = await find(caller, id)
      if (isSame(now, partIds)) return toUpload(caller, now)
      const judged = await readParts(caller, id, async () => {
        if (md5 !== undefined) await requireMd5(now, chosen, md5)
        return judge(caller, now, chosen)
      })
      return commit(caller, upload, chosen, judged)
    })
  }

  async function commit(
    caller: Caller,
    upload: UploadRow,
    chosen: readonly PartRow[],
    judged: Judged,
  ): Promise<Upload> {
    const { id } = upload
    const partIds = chosen.map((part) => part.id)
    const { project_id } = caller
    const now = clock.now()
    const [only] = chosen
    const file = {
      id: ids.file(),
      // Whoever wants that of many parts has to read them all.
      sha256: only !== undefined && chosen.length === 1 ? only.sha256 : '',
      created_at: now,
      expires_at: upload.lifetime === null ? null : now + upload.lifetime,
      ...judged,
    }
    const outcome = await metadata.completeUpload({
      ...{ project_id, id, part_ids: partIds, file, now },
    })
    if (outcome === 'parts-changed') throw new Error(`The parts of ${id} have changed.`)
    // Others may have completed it in the same way, or cancelled it.
    if (outcome.outcome === 'completed') void removal.remove(outcome.loose)
    const ended = await find(caller, id)
    if (!isSame(ended, partIds)) throw uploadNotPending(id, ended.status)
    return toUpload(caller, ended)
  }

  return {
    async create(caller, newUpload) {
      const { filename, purpose, bytes, mimeType, expiresAfter, tusMetadata } = newUpload
      const fault = rules.foresee({ filename, purpose, bytes })
      if (fault !== undefined) throw contentRefused(oneFault(fault))
      const created_at = clock.now()
      const upload = {
        ...{ id: ids.upload(), ...caller, purpose, filename, bytes },
        ...{ mime_type: mimeType, lifetime: lifetimeOf(purpose, expiresAfter) },
        ...{ created_at, expires_at: created_at + uploadSeconds },
        tus_metadata: tusMetadata ?? null,
      }
      const quota_bytes = organizationQuotaBytes
      const outcome = await metadata.addUpload({ upload, quota_bytes })
      if (outcome === 'quota-exceeded') throw quotaExceeded(organizationQuotaBytes)
      const fresh = { status: 'pending', file_id: null, part_ids: null, arrived_bytes: 0 } as const
      return toUpload(caller, { ...upload, ...fresh })
    },

    async retrieve(caller, id) {
      return toUpload(caller, await find(caller, id))
    },

    async listParts(caller, id, { limit, after }) {
      await find(caller, id)
      const { project_id } = caller
      if (after !== undefined && !(await metadata.hasPart({ project_id, id, part_id: after }))) {
        throw partUnknown(after, 'after')
      }
      // One more than asked for tells whether there is another page.
      const rows = await metadata.listParts({ project_id, id, after, limit: limit + 1 })
      const data = rows.slice(0, limit).map((row) => toPart(id, row))
      return {
        object: 'list',
        data,
        first_id: data.at(0)?.id ?? null,
        last_id: data.at(-1)?.id ?? null,
        has_more: rows.length > limit,
      }
    },

    async refuseEarly(caller, id, leastBytes) {
      const { bytes } = await findPending(caller, id)
      if (leastBytes > maxPartBytes) throw partTooLarge(maxPartBytes)
      if (leastBytes > bytes) throw partBeyondUpload(bytes)
    },

    async stage(caller, id, source) {
      const { bytes } = await findPending(caller, id)
      return staging.stage(source, {
        maxBytes: Math.min(bytes, maxPartBytes),
        tooLarge: () =>
          bytes < maxPartBytes ? partBeyondUpload(bytes) : partTooLarge(maxPartBytes),
      })
    },

    async addPart(caller, id, content, sent) {
      if (sent !== undefined && sent !== content.sha256) throw partDamaged(sent, content.sha256)
      return addPart(caller, id, content)
    },

    complete,

    async cancel(caller, id) {
      await findPending(caller, id)
      const { project_id } = caller
      const loose = await metadata.cancelUpload({ project_id, id, now: clock.now() })
      const upload = await find(caller, id)
      if (loose === undefined) throw uploadNotPending(id, upload.status)
      void removal.remove(loose)
      return toUpload(caller, upload)
    },

    async findProgress(caller, id) {
      const row = await find(caller, id)
      // It grows elsewhere, by parts whose order is not known before its completion.
      if (row.tus_metadata === null) throw uploadNotFound(id)
      return {
        upload: await toUpload(caller, row),
        arrivedBytes: row.status === 'completed' ? row.bytes : row.arrived_bytes,
        tusMetadata: row.tus_metadata,
      }
    },

    async append(caller, id, content, offset) {
      await addPart(caller, id, content, offset)
    },

    async finish(caller, id) {
      const parts = await metadata.listParts({ project_id: caller.project_id, id })
      const upload = await find(caller, id)
      // Another request may have finished it.
      if (upload.status === 'completed') return toUpload(caller, upload)
      const partIds = parts.map((part) => part.id)
      return complete(caller, id, { partIds, md5: undefined, signal: new AbortController().signal })
    },
  }
}

/** Whether it was completed of just these parts. */
function isSame({ status, part_ids }: UploadRow, partIds: readonly string[]): boolean {
  return status === 'completed' && part_ids === JSON.stringify(partIds)
}

function toPart(
  upload_id: string,
  { id, created_at, bytes, sha256 }: Pick<PartRow, 'id' | 'created_at' | 'bytes' | 'sha256'>,
): UploadPart {
  return { id, object: 'upload.part', created_at, upload_id, bytes, sha256 }
}

function writeEdges(edges: TextEdges): string {
  if (edges === 'binary') return edges
  return `utf-8:${Buffer.from(edges.head).toString('hex')}:${Buffer.from(edges.tail).toString('hex')}`
}

function toEdges({ bytes, encoding }: PartRow): { bytes: number; edges: TextEdges } {
  if (encoding === 'binary') return { bytes, edges: encoding }
  const [, head = '', tail = ''] = encoding.split(':')
  return { bytes, edges: { head: Buffer.from(head, 'hex'), tail: Buffer.from(tail, 'hex') } }
}
