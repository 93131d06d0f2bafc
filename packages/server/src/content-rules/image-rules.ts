/** What images for `vision` have to be, whatever their names say (contract §6.5). */

import { ofContent } from './fault.ts'
import { noFaults, oneFault } from './fault-list.ts'
import { typeOfHead } from './file-types.ts'
import { type Opinion, readHead, type WholeContent } from './whole-content.ts'

/** An animated PNG is shown as its first image. */
const types = ['image/png', 'image/apng', 'image/jpeg', 'image/gif', 'image/webp']

export async function judgeImage(content: WholeContent): Promise<Opinion> {
  const found = await typeOfHead(await readHead(content))
  if (found !== undefined && types.includes(found)) return { mimeType: found, faults: noFaults }
  const expected = 'a PNG, JPEG, GIF or WebP image'
  const message = `The content is not ${expected}${found === undefined ? '' : `, but ${found}`}.`
  return { faults: oneFault(ofContent('unsupported_image', message, expected)) }
}
