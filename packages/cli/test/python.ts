/** Runs the Python clients of `python/`, each in an environment of its own, made when first asked. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { type Coffer, makeFolder, repository, runProgram } from './start-coffer.ts'

const cache = join(repository, 'node_modules', '.cache', 'coffer-python')
const pathOf = (name: string) => fileURLToPath(new URL(`./python/${name}`, import.meta.url))

const python = 'Python (3.10 or later, with venv)'
const isThere = hasPython()

/** Why a suite that needs Python is skipped; CI has Python, and there its lack is a failure. */
export const skipReason =
  isThere || process.env['CI'] === 'true' ? undefined : `skipped: no ${python}`

// The runner shows a skipped suite as a number only.
if (skipReason !== undefined) console.warn(skipReason)

/** @returns the Python that has what `requirements` names: a file of `python/`. */
export async function preparePython(requirements: string): Promise<string> {
  if (!isThere) throw new Error(`This needs ${python}.`)
  const args = [pathOf('prepare.py'), cache, pathOf(requirements)]
  // As the user has it set up: pip may need a proxy, a certificate or another index.
  await using program = runProgram('python3', args, { env: definedOf(process.env) })
  const { code } = await program.ended
  if (code !== 0) throw new Error(`The Python environment cannot be made.\n${program.stderr}`)
  return program.stdout.trim()
}

/** The names of a module's cases, from its source: needed before there is anything to run it. */
export function caseNames(module: string): string[] {
  const source = readFileSync(pathOf(`${module}.py`), 'utf8')
  return [...source.matchAll(/^@case\("(.+)"\)$/gm)].map(([, name = '']) => name)
}

const Result = z.object({ name: z.string(), error: z.string().nullable() })

/** Runs modules of cases against a server. @returns by name what is wrong, or null. */
export async function runCases(
  python: string,
  modules: readonly string[],
  coffer: Coffer,
): Promise<Map<string, string | null>> {
  await using folder = await makeFolder()
  await using program = runProgram(python, [pathOf('run_cases.py'), ...modules], {
    env: {
      OPENAI_BASE_URL: `${coffer.url}/v1`,
      OPENAI_API_KEY: coffer.key,
      PYTHONDONTWRITEBYTECODE: '1',
    },
    folder: folder.path,
  })
  const { code } = await program.ended
  if (code !== 0) throw new Error(`The cases ended with ${code}.\n${program.stderr}`)
  const lines = program.stdout.trim().split('\n')
  const results = lines.map((line) => Result.parse(JSON.parse(line)))
  return new Map(results.map(({ name, error }) => [name, error]))
}

function hasPython(): boolean {
  const check = 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))'
  try {
    execFileSync('python3', ['-c', check], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function definedOf(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
