/** How far each figure is from its goal, as a picture. */

import { marginOf, type Row } from './table.ts'

const lineHeight = 22
const labelWidth = 560
const barWidth = 320
/** Beyond twice the goal all bars end. */
const mostMargin = 2

export function drawChart(rows: readonly Row[]): string {
  const bars = rows.flatMap((row) => {
    const margin = marginOf(row)
    return margin === undefined ? [] : [{ work: row.work, margin }]
  })
  const height = (bars.length + 1) * lineHeight
  const scale = (margin: number) => (Math.min(margin, mostMargin) / mostMargin) * barWidth
  const lines = bars.map(({ work, margin }, index) => {
    const y = index * lineHeight
    const color = margin >= 1 ? '#3a7d44' : '#b23a48'
    return (
      `<text x="${labelWidth - 8}" y="${y + 15}" text-anchor="end">${escaped(work)}</text>` +
      `<rect x="${labelWidth}" y="${y + 3}" width="${scale(margin).toFixed(1)}" height="16" fill="${color}"/>` +
      `<text x="${labelWidth + scale(margin) + 6}" y="${y + 15}">${margin.toFixed(2)}</text>`
    )
  })
  const goal = labelWidth + scale(1)
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${labelWidth + barWidth + 60}" height="${height}" ` +
    'font-family="sans-serif" font-size="12">\n' +
    `<title>How far each figure is from its goal</title>\n<rect width="100%" height="100%" fill="white"/>\n${lines.join('\n')}\n` +
    `<line x1="${goal}" x2="${goal}" y1="0" y2="${height - lineHeight}" stroke="black" stroke-dasharray="3"/>\n` +
    `<text x="${goal}" y="${height - 6}" text-anchor="middle">goal</text>\n</svg>\n`
  )
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
