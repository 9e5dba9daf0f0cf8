/**
 * Answers of authorization servers, on disk before anything else happens to them.
 *
 * Between the tick in which a rotated refresh token is read and the commit of its row this file is the only copy
 * that outlives the process; after that it is what is left should the row go back (a restored backup). One file a
 * process, one sealed line an entry, O_APPEND; every process of a DATA_DIR reads the files of all, so that whoever
 * is left finishes what another began. Only its owner writes to a file, and whoever takes over what a dead one left
 * copies it first: the same entry twice is no harm.
 */
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  futimesSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DAY, HOUR, SECOND, systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { makeFolder } from '../base/folder.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type JournalEntry, JournalReader, type Line, type Place } from './journal-reader.ts'

/** Beyond this, and twice what it had to keep the last time, a file starts anew with what is worth keeping. */
const COMPACT_BYTES = 1024 * 1024
/** Entries that are moved in one go; others wait for their turn among what else this process does. */
const MOVED_AT_ONCE = 256
/** Owners touch their files once a minute: one that is silent for so long is gone. */
const LEFT_AFTER_MS = HOUR
/** A file with lines that none of our keys opens is kept for so long: the key may come back. */
const UNREADABLE_KEPT_FOR_MS = 30 * DAY
/** Room for the longest answer. */
const MIN_FREE_BYTES = 128 * 1024
/** The name of a file whose owner has ended. */
const LEFT = '.left.journal'

interface OwnFile {
  readonly name: string
  readonly fd: number
  bytes: number
  /** Its end is half a line. */
  isTorn: boolean
}

export class Journal {
  readonly #dir: string
  readonly #keyRing: KeyRing
  readonly #reader: JournalReader
  #own: OwnFile | undefined
  /** Own files whose entries are on their way into the present one. */
  readonly #leaving = new Set<string>()
  #compactBytes = COMPACT_BYTES

  constructor(dataDir: string, keyRing: KeyRing) {
    this.#dir = join(dataDir, 'journal')
    this.#keyRing = keyRing
    this.#reader = new JournalReader(this.#dir, keyRing)
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
    this.#prove()
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
  standings(): ReadonlyMap<string, Place> {
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
      this.#prove()
      return true
    } catch {
      return false
    }
  }

  /** Once a minute: shows that this process lives, and takes over what dead ones left. */
  tend(): void {
    this.#reader.read()
    if (this.#own) futimesSync(this.#own.fd, systemClock() / SECOND, systemClock() / SECOND)
    const left = this.#reader.files().filter((file) => this.#isLeft(file))
    for (const file of left) this.#move(file, this.#reader.heldIn([file]))
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
    const own = this.#own
    this.#own = undefined
    if (!own) return
    closeSync(own.fd)
    try {
      this.#reader.read()
      for (const file of [own.name, ...this.#leaving]) this.#leave(file)
    } catch {
      // the folder is gone, or cannot be read: what is there is found there
    }
  }

  #leave(file: string): void {
    const path = join(this.#dir, file)
    if (this.#reader.heldIn([file]).length === 0) rmSync(path, { force: true })
    else renameSync(path, join(this.#dir, file.replace(/\.journal$/, LEFT)))
  }

  #append(line: Line): void {
    try {
      const own = this.#present()
      const { name: file, bytes: from, isTorn } = own
      const sealed = this.#keyRing.seal(JSON.stringify(line))
      const bytes = Buffer.from(`${isTorn ? '\n' : ''}${sealed}\n`)
      const written = writeSync(own.fd, bytes)
      own.bytes += written
      own.isTorn = written < bytes.length && written > 0
      if (written < bytes.length) throw new Error('no room for a whole line')
      this.#reader.wrote(line, sealed, from, { file, offset: from + Number(isTorn), bytes: sealed.length })
    } catch (cause) {
      throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be written' })
    }
  }

  /** @throws BrokerError storage_unavailable */
  #prove(): void {
    try {
      const { name, fd } = this.#present()
      const path = join(this.#dir, name)
      if (statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) this.#replace()
      accessSync(this.#dir, constants.W_OK)
      accessSync(join(this.#dir, this.#present().name), constants.W_OK)
      const { blocks, bavail, bsize } = statfsSync(this.#dir)
      if (blocks > 0 && bavail * bsize < MIN_FREE_BYTES) throw new Error('no room for an answer')
    } catch (cause) {
      throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be written' })
    }
  }

  /** The file to write to: one that somebody removed is no longer read by anybody. */
  #present(): OwnFile {
    if (this.#own && fstatSync(this.#own.fd).nlink === 0) return this.#replace()
    this.#own ??= this.#create()
    return this.#own
  }

  #replace(): OwnFile {
    if (this.#own) closeSync(this.#own.fd)
    this.#own = undefined
    this.#own = this.#create()
    return this.#own
  }

  #create(): OwnFile {
    makeFolder(this.#dir)
    const name = `${randomUUID()}.journal`
    return { name, fd: openSync(join(this.#dir, name), 'a', 0o600), bytes: 0, isTorn: false }
  }

  /** A file grows with every refresh, and what it has to keep does not. */
  #compact(): void {
    const own = this.#own
    if (!own || own.bytes < this.#compactBytes || this.#leaving.size > 0) return
    this.#reader.read()
    const held = this.#reader.heldIn([own.name])
    this.#leaving.add(own.name)
    this.#replace()
    this.#move(own.name, held)
  }

  /** Copies what a file holds into the present one, some now and some later, then removes it. */
  #move(file: string, held: readonly Place[]): void {
    for (const place of held.slice(0, MOVED_AT_ONCE)) {
      if (this.#reader.isNewest(place)) this.#copy(place)
    }
    const rest = held.slice(MOVED_AT_ONCE)
    if (rest.length > 0) {
      setImmediate(() => this.#moveOn(file, rest))
      return
    }
    if (!this.#mayHoldMore(file)) rmSync(join(this.#dir, file), { force: true })
    this.#leaving.delete(file)
    this.#compactBytes = Math.max(COMPACT_BYTES, 2 * (this.#own?.bytes ?? 0))
  }

  #moveOn(file: string, rest: readonly Place[]): void {
    try {
      if (this.#own) this.#move(file, rest)
    } catch {
      this.#leaving.delete(file) // no room: the file stays, and is taken over later
    }
  }

  #copy(place: Place): void {
    const entry = this.#reader.entryAt(place)
    if (entry) this.#append({ ...entry, kind: this.#reader.isPending(place) ? 'kept' : 'last' })
  }

  #isLeft(file: string): boolean {
    if (file === this.#own?.name || this.#leaving.has(file)) return false
    return file.endsWith(LEFT) || this.#ageMs(file) > LEFT_AFTER_MS
  }

  /** Lines that a key which is away may open once it is back. Our own are only torn. */
  #mayHoldMore(file: string): boolean {
    if (this.#leaving.has(file) || !this.#reader.hasUnreadable(file)) return false
    return this.#ageMs(file) < UNREADABLE_KEPT_FOR_MS
  }

  #ageMs(file: string): number {
    const stat = statSync(join(this.#dir, file), { throwIfNoEntry: false })
    return stat ? systemClock() - stat.mtimeMs : 0
  }
}
