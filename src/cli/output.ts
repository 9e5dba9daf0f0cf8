/**
 * What a command says: words for people, in colour where they can see it, or JSON for programs.
 */
import { styleText } from 'node:util'
import type { CommandLine } from './command-line.ts'

const TONES = { good: 'green', bad: 'red', quiet: 'dim', loud: 'bold' } as const

/** Plain where the output is no terminal, or NO_COLOR is set. */
export function paint(tone: keyof typeof TONES, text: string): string {
  return styleText(TONES[tone], text, { stream: process.stdout })
}

/** One line of JSON with `--json`, else the words. */
export function answer({ options }: Pick<CommandLine, 'options'>, facts: object, words: string): void {
  process.stdout.write(options.json ? `${JSON.stringify(facts)}\n` : words)
}

/** Columns as wide as their widest cell. @param tone of a cell, given its text and column */
export function table(
  rows: readonly (readonly string[])[],
  tone: (cell: string, column: number) => keyof typeof TONES | undefined = () => undefined,
): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const cellOf = (cell: string, column: number, last: number) => {
    const padded = column === last ? cell : cell.padEnd(widths[column] ?? 0)
    const colour = tone(cell, column)
    return colour ? paint(colour, padded) : padded
  }
  return rows
    .map((row) => `${row.map((cell, column) => cellOf(cell, column, row.length - 1)).join('  ')}\n`)
    .join('')
}
