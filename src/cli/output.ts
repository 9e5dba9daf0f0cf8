/**
 * What a command says: words for people, in colour where they can see it, or JSON for programs.
 */
import { styleText } from 'node:util'
import { visible } from '../base/visible.ts'
import type { CommandLine } from './command-line.ts'

const TONES = { good: 'green', bad: 'red', quiet: 'dim', loud: 'bold' } as const

/** Plain where the output is no terminal, or NO_COLOR is set. */
export function paint(tone: keyof typeof TONES, text: string): string {
  return styleText(TONES[tone], text, { stream: process.stdout })
}

/** One line of JSON with `--json`, else the words. */
export function answer({ options }: Pick<CommandLine, 'options'>, facts: object, words: string): void {
  process.stdout.write(options.json ? jsonLine(facts) : words)
}

/** Programs read the same, and a terminal is not rewritten: in JSON a character may always be written out. */
export function jsonLine(facts: object): string {
  return `${visible(JSON.stringify(facts))}\n`
}

/** Other people's text, which neither rewrites a terminal nor begins a line of its own. */
export function shown(text: string): string {
  return visible(text).replace(/[\t\n]/g, ' ')
}

/** Columns as wide as their widest cell. @param tone of a cell, given its text and column */
export function table(
  rows: readonly (readonly string[])[],
  tone: (cell: string, column: number) => keyof typeof TONES | undefined = () => undefined,
): string {
  const cells = rows.map((row) => row.map(shown))
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  )
  const cellOf = (cell: string, column: number, last: number) => {
    const padded = column === last ? cell : cell.padEnd(widths[column] ?? 0)
    const colour = tone(cell, column)
    return colour ? paint(colour, padded) : padded
  }
  return cells
    .map((row) => `${row.map((cell, column) => cellOf(cell, column, row.length - 1)).join('  ')}\n`)
    .join('')
}
