/**
 * `npm run bench -- --compare OLD NEW`: two pages of results, and what became worse by a fifth.
 * Figures without a goal are taken as better where they are smaller.
 */

import { readFileSync } from 'node:fs'
import { readRows } from './table.ts'

const tolerated = 1.2

/** @returns whether nothing became worse. */
export function compare(oldPath: string, newPath: string): boolean {
  const before = new Map(readRows(readFileSync(oldPath, 'utf8')).map((row) => [row.work, row]))
  let isGood = true
  for (const { work, figure, isMoreBetter } of readRows(readFileSync(newPath, 'utf8'))) {
    const old = before.get(work)
    if (old === undefined) continue
    const change = isMoreBetter ? old.figure / figure : figure / old.figure
    const isWorse = change > tolerated
    if (isWorse) isGood = false
    const mark = isWorse ? 'WORSE' : change < 1 / tolerated ? 'better' : 'same'
    console.log(`${mark.padEnd(7)} ${old.figure} → ${figure}  ${work}`)
  }
  return isGood
}
