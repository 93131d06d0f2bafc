/** What went wrong, as one sentence that says what to do. */

import { ApiException, ConnectionException, UnauthorizedException } from '@coffer/client'
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

/** On one line, whatever a server or a name tries. */
export function sentenceOf(error: unknown): string {
  return printable(explain(error).trim().replace(/\s+/g, ' '))
}

function explain(error: unknown): string {
  if (error instanceof UnauthorizedException) {
    return `${error.message} Look at OPENAI_API_KEY or --key.`
  }
  if (error instanceof ConnectionException) {
    return `${error.message} Is the server running, and is OPENAI_BASE_URL or --url right?`
  }
  if (error instanceof ApiException && error.status !== undefined && error.status >= 500) {
    return `${error.message} (request ${error.requestId ?? 'without an id'})`
  }
  if (!(error instanceof Error)) return String(error)
  const words = byCode.get(codeOf(error) ?? '')
  return words === undefined ? error.message : `${words}.`
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
