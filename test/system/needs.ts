/** What a test needs of the machine, and a clear sentence where that is missing. */

import { spawnSync } from 'node:child_process'

/**
 * @param commands and the Debian package of each.
 * @returns whether the tests can run here; if not, the sentence that says why is printed.
 * @throws in CI, where a test that does not run would look like one that passes.
 */
export function machineHas(commands: Readonly<Record<string, string>>): boolean {
  const packages = Object.entries(commands)
    .filter(([command]) => spawnSync('which', [command]).status !== 0)
    .map(([, debianPackage]) => debianPackage)
  if (process.getuid?.() === 0 && packages.length === 0) return true

  const sentence = `needs root and ${(packages.length === 0 ? Object.values(commands) : packages).join(', ')}`
  if (process.env['CI'] === 'true') throw new Error(`This machine ${sentence}.`)
  console.log(`skipped: ${sentence}`)
  return false
}
