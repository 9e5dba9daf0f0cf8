/**
 * Answers of authorization servers, on disk before anything else happens to them.
 *
 * Between the tick in which a rotated refresh token is read and the commit of its row this file is the only copy
 * that outlives the process; after that it is what is left should the row go back (a restored backup). One file a
 * process, one sealed line an entry, O_APPEND; every process of a DATA_DIR reads the files of all, so that whoever
 * is left finishes what another began. Only its owner writes to a file. Whoever takes over what a dead one left gives it
 * a name of its own where most of it is worth keeping, and else copies that first: the same entry twice is no harm.
 */
import { renameSync, rmSync, type Stats, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { DAY, HOUR, SECOND, systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { JournalFile, newJournalName } from './journal-file.ts'
import { type JournalEntry, JournalReader, type Line, type Standings } from './journal-reader.ts'
import type { Place } from './place-table.ts'

/** Beyond this, and twice what it had to keep the last time, a file starts anew with what is worth keeping. */
const COMPACT_BYTES = 1024 * 1024
/** Entries that are moved in one go; others wait for their turn among what else this process does. */
const MOVED_AT_ONCE = 256
/** Owners touch their files once a minute: one that is silent for so long is gone. */
const LEFT_AFTER_MS = HOUR
/** A file with lines that none of our keys opens is kept for so long: the key may come back. */
const UNREADABLE_KEPT_FOR_MS = 30 * DAY
/** The name of a file whose owner has ended. */
const LEFT = '.left.journal'

export class Journal {
  readonly #dir: string
  readonly #keyRing: KeyRing
  readonly #reader: JournalReader
  readonly #own: JournalFile
  /** Files of dead processes that are ours now, and only read. */
  readonly #adopted = new Set<string>()
  /** Own files whose entries are on their way into the present one. */
  readonly #leaving = new Set<string>()
  #compactBytes = COMPACT_BYTES
  #isClosed = false

  constructor(dataDir: string, keyRing: KeyRing) {
    this.#dir = join(dataDir, 'journal')
    this.#keyRing = keyRing
    this.#reader = new JournalReader(this.#dir, keyRing)
    this.#own = new JournalFile(this.#dir)
  }

  /** See {@link JournalReader.isRead}. */
  get isRead(): boolean {
    return this.#reader.isRead
  }

  /** See {@link JournalReader.whenRead}. */
  whenRead(): Promise<void> {
    return this.#reader.whenRead()
  }

  /**
   * Before a refresh token is spent: proves that its successor could be written down.
   * @throws BrokerError storage_unavailable
   */
  begin(attemptId: string): void {
    this.#orUnavailable(() => this.#own.prove())
    this.#append({ kind: 'begun', attemptId, at: systemClock() })
    this.#compact()
  }

  /** In the tick the answer was read. @throws BrokerError storage_unavailable; the answer is then in memory only */
  keep(entry: JournalEntry): void {
    this.#append({ kind: 'kept', ...entry })
  }

  /** The row holds the answer now. Never throws: an entry stored twice is found stored. */
  done(attemptId: string): void {
    try {
      this.#append({ kind: 'done', attemptId, at: systemClock() })
      this.#compact()
    } catch {
      // told again by the next replay
    }
  }

  /** Kept and not done, by any process of this DATA_DIR, oldest first. @throws BrokerError storage_unavailable */
  pending(): JournalEntry[] {
    this.#reader.read()
    return this.#reader.pending()
  }

  /** The newest answer of a credential, stored or not. @throws BrokerError storage_unavailable */
  last(configId: string): JournalEntry | undefined {
    this.#reader.read()
    return this.#reader.lastOf(configId)
  }

  /** Where credentials stand, as far as journals know. @throws BrokerError storage_unavailable */
  standings(): Standings {
    this.#reader.read()
    return this.#reader.last()
  }

  /** The config is gone: its last answer is not taken along when a file starts anew. */
  forget(configId: string): void {
    this.#reader.forget(configId)
  }

  /** Whether an entry could be written now. Writes nothing. */
  isWritable(): boolean {
    try {
      this.#own.prove()
      return true
    } catch {
      return false
    }
  }

  /** Once a minute: shows that this process lives, and takes over what dead ones left. */
  tend(): void {
    this.#reader.read()
    const now = systemClock() / SECOND
    const files = this.#reader.files()
    for (const file of this.#mine()) if (files.includes(file)) utimesSync(join(this.#dir, file), now, now)
    for (const file of files) if (this.#adopted.has(file) || this.#isLeft(file)) this.#takeOver(file)
  }

  /** Copies what older keys sealed, whosever file it is in. @returns how many entries */
  reseal(): number {
    this.#reader.read()
    const old = this.#reader
      .heldIn(this.#reader.files())
      .filter((place) => !this.#keyRing.isCurrent(this.#reader.sealedAt(place)))
    for (const place of old) this.#copy(place)
    return old.length
  }

  /** Leaves a file behind only if it holds something. */
  close(): void {
    const mine = this.#mine()
    this.#isClosed = true
    this.#own.close()
    try {
      this.#reader.read()
      for (const file of mine) this.#leave(file)
    } catch {
      // the folder is gone, or cannot be read: what is there is found there
    }
  }

  #mine(): string[] {
    const { name } = this.#own
    return [...(name === undefined ? [] : [name]), ...this.#adopted, ...this.#leaving]
  }

  #leave(file: string): void {
    const path = join(this.#dir, file)
    if (this.#reader.heldIn([file]).length === 0) rmSync(path, { force: true })
    else renameSync(path, join(this.#dir, file.replace(/\.journal$/, LEFT)))
  }

  #append(line: Line): void {
    this.#orUnavailable(() => {
      const sealed = this.#keyRing.seal(JSON.stringify(line))
      this.#reader.wrote(line, sealed, this.#own.append(sealed))
    })
  }

  /** @throws BrokerError storage_unavailable */
  #orUnavailable(write: () => void): void {
    try {
      write()
    } catch (cause) {
      throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be written' })
    }
  }

  /** A file grows with every refresh, and what it has to keep does not. */
  #compact(): void {
    const { name, bytes } = this.#own
    if (name === undefined || bytes < this.#compactBytes || this.#leaving.size > 0) return
    this.#reader.read()
    const held = this.#reader.heldIn([name])
    this.#leaving.add(name)
    this.#own.replace()
    this.#move(name, held)
  }

  /** Copying a hundred thousand answers would cost seconds and, for a time, several times their size in memory. */
  #takeOver(file: string): void {
    const bytes = this.#reader.heldBytes(file)
    const isWorthKeeping = bytes > COMPACT_BYTES && 2 * bytes > (this.#statOf(file)?.size ?? 0)
    if (!isWorthKeeping || this.#reader.hasUnreadable(file)) this.#move(file, this.#reader.heldIn([file]))
    else if (!this.#adopted.has(file)) this.#adopt(file)
  }

  #adopt(file: string): void {
    const name = newJournalName()
    try {
      renameSync(join(this.#dir, file), join(this.#dir, name))
    } catch {
      return // another process was first, or nothing can be written just now
    }
    this.#reader.renamed(file, name)
    this.#adopted.add(name)
  }

  /** Copies what a file holds into the present one, some now and some later, then removes it. */
  #move(file: string, held: readonly Place[], from = 0): void {
    const to = from + MOVED_AT_ONCE
    for (const place of held.slice(from, to)) this.#copy(place)
    if (to < held.length) {
      setImmediate(() => this.#moveOn(file, held, to))
      return
    }
    if (!this.#mayHoldMore(file)) rmSync(join(this.#dir, file), { force: true })
    this.#leaving.delete(file)
    this.#adopted.delete(file)
    this.#compactBytes = Math.max(COMPACT_BYTES, 2 * this.#own.bytes)
  }

  #moveOn(file: string, held: readonly Place[], from: number): void {
    try {
      if (!this.#isClosed) this.#move(file, held, from)
    } catch {
      this.#leaving.delete(file) // no room: the file stays, and is taken over later
    }
  }

  #copy(place: Place): void {
    const entry = this.#reader.entryAt(place)
    if (!entry || !this.#reader.isHeld(place, entry)) return
    this.#append({ ...entry, kind: this.#reader.isPending(entry) ? 'kept' : 'last' })
  }

  #isLeft(file: string): boolean {
    if (this.#mine().includes(file)) return false
    return file.endsWith(LEFT) || this.#ageMs(file) > LEFT_AFTER_MS
  }

  /** Lines that a key which is away may open once it is back. Our own are only torn. */
  #mayHoldMore(file: string): boolean {
    if (this.#leaving.has(file) || !this.#reader.hasUnreadable(file)) return false
    return this.#ageMs(file) < UNREADABLE_KEPT_FOR_MS
  }

  #ageMs(file: string): number {
    const stat = this.#statOf(file)
    return stat ? systemClock() - stat.mtimeMs : 0
  }

  #statOf(file: string): Stats | undefined {
    return statSync(join(this.#dir, file), { throwIfNoEntry: false })
  }
}
