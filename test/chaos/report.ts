/**
 * The one table: on stdout, and between two marker comments of docs/refresh-machine.md.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Result } from './lab.ts'

const BEGIN = '<!-- chaos:begin -->'
const END = '<!-- chaos:end -->'
const PAGE = fileURLToPath(new URL('../../docs/refresh-machine.md', import.meta.url))

export function renderReport(results: readonly Result[], seed: number): string {
  const lines = ['| gate | fault | figure | worst case | required | reached |', '|---|---|---|---|---|---|']
  for (const { gate, rows } of results) {
    for (const { what, figure, worst, required, reached } of rows) {
      const cells = [gate.id, what, figure, worst, required, reached ? 'yes' : '**no**']
      lines.push(`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    }
  }
  const memory = Math.round(totalmem() / 2 ** 30)
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0)
  const run = [
    `\`npm run test:chaos -- --seed ${seed}\`, ${new Date().toISOString().slice(0, 10)}, ${seconds} s`,
    `${cpus().length} cores, ${memory} GiB, node ${process.versions.node}`,
  ].join('; ')
  return `${run}.\n\n${lines.join('\n')}`
}

/** The hand-written rest of the page stays as it is. */
export function writeReport(report: string): void {
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : `${BEGIN}\n${END}\n`
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`docs/refresh-machine.md has no ${BEGIN} … ${END}`)
  writeFileSync(PAGE, `${page.slice(0, begin + BEGIN.length)}\n${report}\n${page.slice(end)}`)
}
