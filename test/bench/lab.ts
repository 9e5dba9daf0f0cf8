/**
 * What every gate is given, and the rows it gives back.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Disturbance } from './disturbance.ts'

export interface Lab {
  /** Scratch space of this run, gone at its end. */
  readonly dir: string
  readonly rounds: number
  /** Of one round. */
  readonly seconds: number
  /** A look, not a result: hundreds of rows instead of a hundred thousand. */
  readonly isShort: boolean
  readonly hasWrk: boolean
  readonly hasNginx: boolean
  /** Whose broker is measured, if not this checkout's. */
  readonly checkout: string | undefined
  /** A checkout whose broker stands beside it, to be compared with; the peers that are slow to start stay away. */
  readonly before: string | undefined
  /** Which measurements the host disturbed; they are made again. */
  readonly disturbance: Disturbance
  /** Progress, on stderr. */
  say(text: string): void
  /** Called at the gate's end, last come first. */
  teardown(work: () => unknown): void
}

/** What one gate found: a row of the table. */
export interface Row {
  readonly what: string
  readonly figure: string
  readonly required: string
  /** 'skipped': this machine cannot tell; a failure where CI is true. */
  readonly reached: boolean | 'skipped'
}

export interface Findings {
  readonly rows: readonly Row[]
  /** The figures behind the rows. */
  readonly notes: readonly string[]
}

export interface Gate {
  readonly id: string
  readonly title: string
  run(lab: Lab): Promise<Findings>
}

export function openLab(
  options: Pick<Lab, 'rounds' | 'seconds' | 'isShort' | 'checkout' | 'before'>,
): Lab & { endGate(): Promise<void>; close(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-bench-'))
  const say = (text: string) =>
    void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`)
  const endings: (() => unknown)[] = []
  return {
    ...options,
    dir,
    disturbance: new Disturbance(say),
    say,
    teardown: (work) => void endings.push(work),
    async endGate() {
      for (let end = endings.pop(); end; end = endings.pop()) await end()
    },
    hasWrk: versionOf('wrk', '-v') !== undefined,
    hasNginx: versionOf('nginx', '-v') !== undefined,
    close: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** A version number out of whatever a program says about itself; undefined if it is not there. */
export function versionOf(command: string, flag: string): string | undefined {
  try {
    const said = execFileSync(
      '/bin/sh',
      ['-c', `command -v ${command} >&2 && ${command} ${flag} 2>&1 || true`],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
        encoding: 'utf8',
      },
    )
    return /\d+(\.\d+)+/.exec(said)?.[0]
  } catch {
    return undefined
  }
}

/** A peer was down, answered wrongly or dropped a connection: no ratio is worth anything then. */
export class PeerFailed extends Error {
  override readonly name = 'PeerFailed'
}
