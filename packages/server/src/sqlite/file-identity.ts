/** Which file or folder a name stands for, to notice when it is another one. */

import { statSync } from 'node:fs'

/** The same for as long as it is the same one; undefined if there is none. */
export function identityOf(path: string): string | undefined {
  const facts = statSync(path, { throwIfNoEntry: false })
  return facts && `${facts.dev}:${facts.ino}`
}
