/** Writes docs/configuration.md from the settings of the server; `--check` only compares. */

import { readFileSync, writeFileSync } from 'node:fs'
import { settings } from '@coffer/server'

const path = new URL('../docs/configuration.md', import.meta.url)

const introduction = `# Configuration

Every setting is an environment variable, and a flag of \`coffer serve\`: \`COFFER_MAX_FILE_BYTES\` is
\`--max-file-bytes\`. A flag comes before the environment. All faults of a configuration are reported at
once. This page is written by \`npm run docs\` from the settings themselves.

| setting | what it does | default |
| --- | --- | --- |
`

const rows = Object.entries(settings).map(([name, setting]) => {
  const secret = 'secret' in setting
  const file = secret || 'mayBeInFile' in setting
  const note =
    (secret ? ' Not a flag.' : '') +
    (file ? ` \`${name}_FILE\` may name a file that holds it.` : '')
  const standard = setting.standard === undefined ? '' : `\`${setting.standard}\``
  return `| \`${name}\` | ${setting.description}${note} | ${standard} |\n`
})

const page = introduction + rows.join('')

if (!process.argv.includes('--check')) {
  writeFileSync(path, page)
} else if (readFileSync(path, 'utf8') !== page) {
  process.stderr.write('docs/configuration.md is behind the settings: run npm run docs\n')
  process.exitCode = 1
}
