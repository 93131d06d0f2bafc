/** A file of lines of JSON that only grows, so that whatever happens, what was written stays. */

import { open } from 'node:fs/promises'
import { jsonLine, printable } from './printable.ts'
import { Failure } from './program.ts'

export interface JsonLines<Line> extends AsyncDisposable {
  /** Resolves when the line is on the disk. */
  append(line: Line): Promise<void>
}

/**
 * Opens the file, made if it is missing, and gives what it has to `onLine`.
 *
 * @param read gives undefined for a line that is not of this kind of file.
 * @throws Failure if the file is of another kind.
 */
export async function openJsonLines<Line>(
  path: string,
  read: (value: unknown) => Line | undefined,
  onLine: (line: Line) => void,
): Promise<JsonLines<Line>> {
  const isTorn = await readJsonLines(path, read, onLine)
  const handle = await open(path, 'a')
  // The next line must not go on where one was cut short.
  if (isTorn) await handle.appendFile('\n')
  return {
    async append(line) {
      await handle.appendFile(jsonLine(line))
      await handle.datasync()
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

/** @returns whether the last line has no end. A file that is missing has no lines. */
export async function readJsonLines<Line>(
  path: string,
  read: (value: unknown) => Line | undefined,
  onLine: (line: Line) => void,
): Promise<boolean> {
  await using handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return undefined
  })
  if (handle === undefined) return false
  const { size } = await handle.stat()
  const last = await handle.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1))
  const isTorn = size > 0 && last.buffer.toString() !== '\n'
  let number = 0
  for await (const text of handle.readLines({ start: 0, autoClose: false })) {
    number += 1
    const value = parse(text)
    if (value === undefined) continue
    const line = read(value)
    if (line === undefined) {
      throw new Failure(
        `${printable(path)} is there already and is something else: see its line ${number}.`,
      )
    }
    onLine(line)
  }
  return isTorn
}

/** @returns undefined for a line that was cut short, and null for what was never one. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text === '' || text.startsWith('{') ? undefined : null
  }
}
