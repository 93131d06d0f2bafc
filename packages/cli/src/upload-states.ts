/** What uploads in parts that broke off need to go on, kept beside the user's other programs' states. */

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { LargeUploadState } from '@coffer/client'
import { codeOf } from './failures.ts'

/** What makes two uploads the same one. */
export interface UploadKey {
  readonly host: string
  /** Absolute. */
  readonly path: string
  readonly purpose: string
  readonly filename: string
  readonly expiresAfterSeconds: number | undefined
}

export interface UploadStates {
  find(key: UploadKey): LargeUploadState | undefined
  keep(key: UploadKey, state: LargeUploadState): void
  forget(key: UploadKey): void
}

/** By the XDG Base Directory Specification, below XDG_STATE_HOME; only the user may read it. */
export function createUploadStates(
  env: Readonly<Record<string, string | undefined>>,
): UploadStates {
  const home = env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state')
  const folder = join(home, 'coffer', 'uploads')

  function pathOf(key: UploadKey): string {
    return join(folder, `${createHash('sha256').update(JSON.stringify(key)).digest('hex')}.json`)
  }

  return {
    find(key) {
      try {
        return JSON.parse(readFileSync(pathOf(key), 'utf8')).state
      } catch (error) {
        // Cut short by a power cut, it says nothing.
        if (error instanceof SyntaxError) return undefined
        if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined
        throw error
      }
    },
    keep(key, state) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const path = pathOf(key)
      writeFileSync(`${path}.new`, JSON.stringify({ ...key, state }), { mode: 0o600 })
      renameSync(`${path}.new`, path)
    },
    forget(key) {
      try {
        rmSync(pathOf(key), { force: true })
      } catch {
        // What stays is held against the content and the server before anything is made of it.
      }
    },
  }
}
