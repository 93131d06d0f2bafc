/** What went wrong, as one sentence that says what to do. */

import { ApiException, ConnectionException, UnauthorizedException } from '@coffer/client'
import { type ConnectionWords, serverWords } from './connection-words.ts'
import { printable } from './printable.ts'
import { Failure } from './program.ts'

/** What the system says by a code, in words. */
const byCode = new Map([
  ['EACCES', 'it may not be read or written by you'],
  ['EPERM', 'it may not be read or written by you'],
  ['EISDIR', 'it is a folder'],
  ['EEXIST', 'there is one already'],
  ['ELOOP', 'its links lead in a circle'],
  ['EMFILE', 'too many files are open; try a smaller --parallel'],
  ['ENAMETOOLONG', 'its name is too long for this disk; give another with --output'],
  ['ENOENT', 'there is no such file or folder'],
  ['ENOSPC', 'the disk is full'],
  ['ENOTDIR', 'a part of its path is no folder'],
  ['EROFS', 'the disk takes no changes'],
])

/**
 * On one line, whatever a server or a name tries.
 *
 * @param words of the service that was talked to.
 */
export function sentenceOf(error: unknown, words = serverWords): string {
  return printable(explain(error, words).trim().replace(/\s+/g, ' '))
}

function explain(error: unknown, words: ConnectionWords): string {
  if (error instanceof UnauthorizedException) {
    return `${error.message} Look at ${words.keyName} or ${words.keyOption}.`
  }
  if (error instanceof ConnectionException) {
    const { urlName, urlOption } = words
    return `${error.message} Is the server running, and is ${urlName} or ${urlOption} right?`
  }
  if (error instanceof ApiException && error.status !== undefined && error.status >= 500) {
    return `${error.message} (request ${error.requestId ?? 'without an id'})`
  }
  if (!(error instanceof Error)) return String(error)
  const inWords = byCode.get(codeOf(error) ?? '')
  return inWords === undefined ? error.message : `${inWords}.`
}

/** As ENOENT, where the system said so. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error && 'code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** For a command that named each problem where it met it: the sum, unless one sentence said all. */
export function unfinished(done: number, failures: number, verb: string): Failure {
  return new Failure(done + failures === 1 ? '' : `${done} ${verb}, ${failures} not.`)
}
