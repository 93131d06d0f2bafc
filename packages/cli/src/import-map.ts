/** What has been imported: old ids and new ones, for later runs and for whoever used the old. */

import { rm } from 'node:fs/promises'
import { type JsonLines, openJsonLines, readJsonLines } from './json-lines.ts'

/** A line of the map. */
export interface ImportedFile {
  /** The base URL that it came from. */
  readonly source: string
  readonly source_id: string
  /** The base URL that it went to. */
  readonly target: string
  readonly target_id: string
  readonly filename: string
  readonly source_purpose: string
  readonly target_purpose: string
}

/** All bytes of it went out, and it is not known yet whether the target has taken them. */
export interface SentFile extends Omit<ImportedFile, 'target_id'> {
  /** Of the bytes, in hexadecimal. */
  readonly sha256: string
}

export interface ImportMap extends AsyncDisposable {
  /** Whether nothing is known of any file. */
  readonly isEmpty: boolean
  /** The new ids of a file, of every target that this map was used for. */
  find(sourceId: string): ReadonlySet<string>
  hasTarget(targetId: string): boolean
  /** What earlier runs have sent and never heard of. */
  sent(): SentFile[]
  keep(file: ImportedFile): Promise<void>
  keepSent(file: SentFile): Promise<void>
  /** Of a file that was sent: the target has not taken it. */
  forgetSent(sourceId: string): void
}

/**
 * The map only grows. Beside it lies for a while what was sent: a run that is killed after the target
 * has a file, and before the map has its line, would otherwise make the next one send it again.
 *
 * @param source of whose files something is to be known: other services may give the same ids.
 * @param isDry writes nothing, anywhere.
 */
export async function openImportMap(
  path: string,
  source: string,
  isDry: boolean,
): Promise<ImportMap> {
  const sentPath = `${path}.sent`
  const found = new Map<string, Set<string>>()
  const targets = new Set<string>()
  const sent = new Map<string, SentFile>()

  function learn({ source_id, target_id }: ImportedFile): void {
    found.set(source_id, (found.get(source_id) ?? new Set()).add(target_id))
    targets.add(target_id)
    sent.delete(source_id)
  }

  async function load<Line extends { readonly source: string }>(
    place: string,
    read: (value: unknown) => Line | undefined,
    onLine: (line: Line) => void,
  ): Promise<JsonLines<Line> | undefined> {
    const ours = (line: Line) => {
      if (line.source === source) onLine(line)
    }
    if (!isDry) return openJsonLines(place, read, ours)
    await readJsonLines(place, read, ours)
    return undefined
  }

  await using opened = new AsyncDisposableStack()
  opened.defer(async () => {
    if (!isDry && sent.size === 0) await rm(sentPath, { force: true })
  })
  const sentLines = opened.adopt(
    await load(sentPath, readSentFile, (line) => sent.set(line.source_id, line)),
    (lines) => lines?.[Symbol.asyncDispose](),
  )
  const lines = opened.adopt(await load(path, readImportedFile, learn), (map) =>
    map?.[Symbol.asyncDispose](),
  )
  const kept = opened.move()
  return {
    isEmpty: found.size === 0 && sent.size === 0,
    find: (sourceId) => found.get(sourceId) ?? new Set(),
    hasTarget: (targetId) => targets.has(targetId),
    sent: () => [...sent.values()],
    async keep(file) {
      await lines?.append(file)
      learn(file)
    },
    async keepSent(file) {
      sent.set(file.source_id, file)
      await sentLines?.append(file)
    },
    forgetSent: (sourceId) => void sent.delete(sourceId),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

function readImportedFile(value: unknown): ImportedFile | undefined {
  const { target_id } = fieldsOf(value)
  const file = readCommon(value)
  return file && typeof target_id === 'string' ? { ...file, target_id } : undefined
}

function readSentFile(value: unknown): SentFile | undefined {
  const { sha256 } = fieldsOf(value)
  const file = readCommon(value)
  return file && typeof sha256 === 'string' ? { ...file, sha256 } : undefined
}

function readCommon(value: unknown): Omit<ImportedFile, 'target_id'> | undefined {
  const { source, target, source_id, filename, source_purpose, target_purpose } = fieldsOf(value)
  if (typeof source !== 'string' || typeof target !== 'string') return undefined
  if (typeof source_id !== 'string' || typeof filename !== 'string') return undefined
  if (typeof source_purpose !== 'string' || typeof target_purpose !== 'string') return undefined
  return { source, target, source_id, filename, source_purpose, target_purpose }
}

function fieldsOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
