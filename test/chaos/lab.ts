/**
 * What every gate is given, and the rows it gives back.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LeakError } from '../support/secret-search.ts'
import { type Random, seeded } from './random.ts'

/** A row of the gate whose broker it was. */
const NO_LEAK = { what: 'secrets in what brokers left', worst: '', required: 'none' }

export interface Lab {
  readonly seed: number
  readonly random: Random
  /** Scratch space of this gate, gone at its end. */
  readonly dir: string
  /** How much: of the full form, or of the short one. */
  size(full: number, short: number): number
  /** Progress, on stderr. */
  say(text: string): void
  /** Called at the gate's end, last come first. */
  teardown(work: () => unknown): void
}

/** What one gate found: a row of the table. */
export interface Row {
  readonly what: string
  readonly figure: string
  readonly worst: string
  readonly required: string
  readonly reached: boolean
}

export interface Gate {
  readonly id: string
  readonly title: string
  /** MySQL where it is not said. */
  readonly database?: 'SQLite'
  /** What this machine has not, and the gate needs. */
  readonly missing?: string | undefined
  run(lab: Lab): Promise<Row[]>
}

export interface Result {
  readonly gate: Gate
  readonly rows: readonly Row[]
  readonly seconds: number
}

/** Runs one gate from its first process to its last. One that breaks down is missed, and no reason to leave out others. */
export async function runGate(gate: Gate, options: { seed: number; isShort: boolean }): Promise<Result> {
  const startedAt = performance.now()
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-chaos-'))
  const endings: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })]
  const lab: Lab = {
    seed: options.seed,
    random: seeded(options.seed),
    dir,
    size: (full, short) => (options.isShort ? short : full),
    say: (text) => say(`${gate.id} ${text}`),
    teardown: (work) => void endings.push(work),
  }
  lab.say(gate.title)
  let rows: Row[]
  try {
    rows = await gate.run(lab)
  } catch (error) {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    const figure = `broke down: ${error instanceof Error ? error.message.split('\n')[0] : error}`
    rows = [{ what: gate.title, figure, worst: '', required: 'a run to its end', reached: false }]
  }
  for (const ending of endings.reverse()) {
    await Promise.resolve(ending()).catch((error: unknown) => {
      lab.say(`at its end: ${error}`)
      if (error instanceof LeakError) rows.push({ ...NO_LEAK, figure: error.message, reached: false })
    })
  }
  return { gate, rows, seconds: Math.round((performance.now() - startedAt) / 1000) }
}

function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`)
}
