/** Compares what a server has with what it acknowledged, file by file and byte by byte. */

import { FilePage } from '@coffer/contract'
import { type Acknowledged, sha256 } from './load.ts'
import type { Coffer } from './start-coffer.ts'

const readers = 16

/** Ids, by what is wrong with them. */
export interface Findings {
  /** Acknowledged, and not listed. */
  readonly lost: string[]
  /** Deleted, and listed. */
  readonly risen: string[]
  /** Listed, and the content cannot be read to its end: a row without its bytes. */
  readonly unreadable: string[]
  /** Read, and not the bytes that were sent. */
  readonly wrong: string[]
}

export const nothingWrong: Findings = { lost: [], risen: [], unreadable: [], wrong: [] }

/** @returns the ids of all files that are listed, and what is wrong. */
export async function inspect(
  coffer: Coffer,
  known: Acknowledged,
): Promise<{ listed: string[]; findings: Findings }> {
  const listed = await listIds(coffer)
  const present = new Set(listed)
  const findings: Findings = {
    lost: [...known.stored.keys()].filter((id) => !present.has(id)),
    risen: [...known.deleted].filter((id) => present.has(id)),
    unreadable: [],
    wrong: [],
  }

  const queue = [...listed]
  await Promise.all(
    Array.from({ length: readers }, async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const content = await read(coffer, id)
        if (content === undefined) findings.unreadable.push(id)
        // An answer that was never read has a file all the same: then the server's own sum counts.
        else if (content.sum !== (known.stored.get(id) ?? content.tag)) findings.wrong.push(id)
      }
    }),
  )
  return { listed, findings }
}

async function listIds(coffer: Coffer): Promise<string[]> {
  const ids: string[] = []
  let after = ''
  for (;;) {
    const page = FilePage.parse(await (await coffer.fetch(`/v1/files?limit=10000${after}`)).json())
    ids.push(...page.data.map(({ id }) => id))
    if (!page.has_more) return ids
    after = `&after=${page.last_id}`
  }
}

async function read(
  coffer: Coffer,
  id: string,
): Promise<{ sum: string; tag: string | undefined } | undefined> {
  try {
    const answer = await coffer.fetch(`/v1/files/${id}/content`)
    const content = new Uint8Array(await answer.arrayBuffer())
    if (answer.status !== 200) return undefined
    return { sum: sha256(content), tag: answer.headers.get('etag')?.slice(1, -1) }
  } catch (error) {
    // What `fetch` says of a body that was cut.
    if (error instanceof TypeError) return undefined
    throw error
  }
}
