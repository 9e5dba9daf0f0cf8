/**
 * Answers of authorization servers, on disk before anything else happens to them.
 *
 * Between the tick in which a rotated refresh token is read and the commit of its row this file is the only copy
 * that outlives the process. One file a process, one sealed line an entry, O_APPEND; every process of a DATA_DIR
 * reads the files of all, so that whoever is left finishes what another began.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DAY, systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { makeFolder } from '../base/folder.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { KeyRing } from '../vault/key-ring.ts'

/** An answer that was read; `fromVersion` is the version of the row it follows. */
export interface JournalEntry {
  readonly attemptId: string
  readonly configId: string
  readonly fromVersion: number
  readonly tokens: TokenSet
  /** Epoch ms. */
  readonly at: number
}

type Line = ({ kind: 'kept' } & JournalEntry) | { kind: 'begun' | 'done'; attemptId: string; at: number }

/** How far a file was read, in bytes, and what it holds that nobody had done by then. */
interface Reading {
  offset: number
  readonly kept: Map<string, JournalEntry>
}

const KEPT_FOR_MS = DAY
/** A journal without open entries starts anew beyond this. */
const COMPACT_BYTES = 1024 * 1024

export class Journal {
  readonly #dir: string
  readonly #keys: KeyRing
  #name = ''
  #file: number | undefined
  #bytes = 0
  readonly #open = new Set<string>()
  /** What was read of each file. Files only grow, and a new one has a new name, so nothing is read twice. */
  readonly #readings = new Map<string, Reading>()
  readonly #done = new Set<string>()

  constructor(dataDir: string, keys: KeyRing) {
    this.#dir = join(dataDir, 'journal')
    this.#keys = keys
  }

  /**
   * Before a refresh token is spent: proves that its successor could be written down.
   * @throws BrokerError storage_unavailable
   */
  begin(attemptId: string): void {
    this.#append({ kind: 'begun', attemptId, at: systemClock() })
  }

  /** In the tick the answer was read. @throws BrokerError storage_unavailable; the answer is then in memory only */
  keep(entry: JournalEntry): void {
    this.#open.add(entry.attemptId)
    this.#append({ kind: 'kept', ...entry })
  }

  /** The row holds the answer now. Never throws: an entry stored twice is found stored. */
  done(attemptId: string): void {
    this.#open.delete(attemptId)
    try {
      this.#append({ kind: 'done', attemptId, at: systemClock() })
      if (this.#open.size === 0 && this.#bytes > COMPACT_BYTES) this.#startAnew()
    } catch {
      // told again by the next replay
    }
  }

  /** Kept and not done, by any process of this DATA_DIR, oldest first. @throws BrokerError storage_unavailable */
  pending(): JournalEntry[] {
    const files = this.#files()
    for (const file of this.#readings.keys()) if (!files.includes(file)) this.#readings.delete(file)
    for (const file of files) this.#readOn(file)
    const pending: JournalEntry[] = []
    for (const { kept } of this.#readings.values()) {
      for (const id of kept.keys()) if (this.#done.has(id)) kept.delete(id)
      pending.push(...kept.values())
    }
    return pending.sort((a, b) => a.at - b.at)
  }

  /** Whether an entry could be written now. */
  isWritable(): boolean {
    try {
      this.begin('probe')
      return true
    } catch {
      return false
    }
  }

  /** Removes files nobody has written to for a day. */
  removeOld(): void {
    for (const file of this.#files()) {
      const path = join(this.#dir, file)
      if (file !== this.#name && systemClock() - statSync(path).mtimeMs > KEPT_FOR_MS)
        rmSync(path, { force: true })
    }
  }

  /** Leaves a file behind only if it holds something. */
  close(): void {
    if (this.#file === undefined) return
    if (this.#open.size === 0) this.#startAnew()
    else closeSync(this.#file)
    this.#file = undefined
  }

  #append(line: Line): void {
    const text = `${this.#keys.seal(JSON.stringify(line))}\n`
    try {
      this.#file ??= this.#create()
      this.#bytes += writeSync(this.#file, text)
    } catch (cause) {
      throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be written' })
    }
  }

  #create(): number {
    makeFolder(this.#dir)
    this.#bytes = 0
    this.#name = `${randomUUID()}.journal`
    return openSync(join(this.#dir, this.#name), 'a', 0o600)
  }

  #startAnew(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    rmSync(join(this.#dir, this.#name), { force: true })
    this.#file = undefined
  }

  #files(): string[] {
    try {
      return readdirSync(this.#dir).filter((file) => file.endsWith('.journal'))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be read' })
    }
  }

  /**
   * Takes in the lines that are new since the last time. One without an end may still be under way; cut off by a
   * kill it is no entry, for its answer was never acted upon either.
   */
  #readOn(file: string): void {
    const reading: Reading = this.#readings.get(file) ?? { offset: 0, kept: new Map() }
    this.#readings.set(file, reading)
    const text = readFrom(join(this.#dir, file), reading.offset)
    const end = text.lastIndexOf('\n') + 1
    reading.offset += end
    for (const sealed of text.slice(0, end).split('\n')) {
      if (sealed === '') continue
      try {
        const line = JSON.parse(this.#keys.open(sealed)) as Line
        if (line.kind === 'kept') reading.kept.set(line.attemptId, line)
        if (line.kind === 'done') this.#done.add(line.attemptId)
      } catch {
        // torn, or sealed with a key that is gone
      }
    }
  }
}

/** '' for a file that another process removed in the meantime. Sealed lines are ASCII: a byte is a character. */
function readFrom(path: string, offset: number): string {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be read' })
  }
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - offset))
    return bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, offset))
  } finally {
    closeSync(file)
  }
}
