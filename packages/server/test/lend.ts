/** Gives a test what it needs to talk to one of the servers that all tests of a run share. */

import { inject } from 'vitest'
// For the type of what is provided.
import type {} from './shared-servers.ts'

export async function lend<Access>(name: 'postgres' | 's3'): Promise<Access> {
  const response = await fetch(`${inject('sharedServers')}/${name}`)
  if (!response.ok) throw new Error(await response.text())
  return (await response.json()) as Access
}
