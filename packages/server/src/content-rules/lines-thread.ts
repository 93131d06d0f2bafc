/** The thread behind `line-checks.ts`. */

import { constants, setPriority } from 'node:os'
import { servePieces } from '../threads/serve-pieces.ts'
import { createJsonLinesCheck } from './json-lines-check.ts'

// On Linux the priority is the thread's own; elsewhere it would be that of the whole process. Requests
// that wait for an answer come first.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL)

servePieces({ lines: createJsonLinesCheck })
