/** A file of the disk up to Coffer, as a user of curl sends it. */

import { curl, curlAsk, curlUpload } from './clients.ts'
import { flush } from './measure.ts'
import type { CofferServer } from './servers/coffer.ts'
import { type Timed, timed } from './timed.ts'

/** @returns its id. */
export async function store(
  { port }: CofferServer,
  path: string,
  purpose?: string,
): Promise<string> {
  const answer: { id: string } = JSON.parse(await curl(...curlUpload(port, path, purpose)))
  return answer.id
}

/** Times the upload alone; the file is deleted after it. */
export async function timedStore(
  coffer: CofferServer,
  path: string,
  purpose?: string,
): Promise<Timed> {
  flush()
  let id = ''
  const run = await timed(coffer, async () => {
    id = await store(coffer, path, purpose)
  })
  await curl('-o', '/dev/null', ...curlAsk(coffer.port, `/${id}`, '-X', 'DELETE'))
  return run
}
