/** `npm run bench`: measures the whole and prints a table. */

import { measureCommandLine } from './command-line.ts'
import { formatRows } from './table.ts'

process.stdout.write(formatRows(await measureCommandLine()))
