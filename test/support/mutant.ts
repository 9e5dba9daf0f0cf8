/**
 * A copy of the broker with something taken out, to see whether a gate notices.
 */
import { cpSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Mutation {
  readonly name: string
  /** Which should notice. */
  readonly gates: readonly string[]
  readonly changes: readonly Change[]
}

export interface Change {
  readonly file: string
  /** Occurs exactly once. */
  readonly from: string
  readonly to: string
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PARTS = ['src', 'config', 'migrations', 'package.json', 'tsconfig.json']

/** @returns where it is; whoever asks removes it */
export function mutantOf({ name, changes }: Mutation): string {
  const copy = mkdtempSync(join(tmpdir(), 'token-broker-mutation-'))
  for (const part of PARTS) cpSync(join(ROOT, part), join(copy, part), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  for (const { file, from, to } of changes) {
    const path = join(copy, file)
    const text = readFileSync(path, 'utf8')
    if (!isThereOnce(text, from)) throw new Error(`${name}: ${file} does not hold this once:\n${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
  return copy
}

export function isThereOnce(text: string, part: string): boolean {
  return text.split(part).length === 2
}
