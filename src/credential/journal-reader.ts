/**
 * What the journals of a DATA_DIR hold, whichever process wrote it: answers that no row holds yet, and the last
 * answer of every credential. Reads only; `journal.ts` writes.
 *
 * Files only grow, and a new one has a new name, so nothing is read twice. Answers that are stored are known by
 * their place and opened when asked for: a hundred thousand logins are not to lie in memory in plain text.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BrokerError } from '../base/errors.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { isOlder, type Standing } from './credential.ts'
import { readFrom, type Written } from './journal-file.ts'
import { type FileRead, type Place, PlaceTable } from './place-table.ts'

/** An answer that was read; it makes version `fromVersion + 1` of the login of `loginAt`. */
export interface JournalEntry {
  readonly attemptId: string
  readonly configId: string
  /** Epoch ms; 0 in lines of older brokers. */
  readonly loginAt: number
  readonly fromVersion: number
  readonly tokens: TokenSet
  /** Epoch ms. */
  readonly at: number
}

/** `kept`: still to be stored · `last`: stored, and the newest there is. */
export type Line =
  | ({ kind: 'kept' | 'last' } & JournalEntry)
  | { kind: 'begun' | 'done'; attemptId: string; at: number }

/** By config id. */
export interface Standings extends Iterable<[string, Standing]> {
  readonly size: number
  has(configId: string): boolean
}

/** Some milliseconds of work; a line of the greatest length, and more. */
const PIECE_BYTES = 256 * 1024
const NEWLINE = 0x0a
/** Attempts that are over, remembered in case that a copy of their answer turns up. */
const MAX_DONE = 100_000

export class JournalReader {
  readonly #dir: string
  readonly #keyRing: KeyRing
  /** By their names. */
  readonly #files = new Map<string, FileRead>()
  readonly #done = new Set<string>()
  readonly #pending = new Map<string, { place: Place; entry: JournalEntry }>()
  readonly #last = new PlaceTable()
  #firstReading: Promise<void> | undefined
  #isRead = false

  constructor(dir: string, keyRing: KeyRing) {
    this.#dir = dir
    this.#keyRing = keyRing
  }

  /** Takes in what is new. @throws BrokerError storage_unavailable */
  read(): void {
    for (let isWhole = false; !isWhole; ) {
      isWhole = true
      const files = this.files()
      for (const file of files) if (this.#readOn(file) === 'gone') isWhole = false // moved: it is in another by now
      const gone = [...this.#files.keys()].filter((file) => !files.includes(file))
      if (gone.length > 0 && this.heldIn(gone).length > 0) {
        this.#forgetAll()
        isWhole = false
      }
      for (const file of gone) this.#forgetFile(file)
    }
  }

  /** What was there at the start has been read, and only what is new has still to be. */
  get isRead(): boolean {
    return this.#isRead
  }

  /**
   * Resolves once that is so. Reads in pieces, between which others have their turn: there may be an answer of each of
   * a hundred thousand credentials.
   * @throws BrokerError storage_unavailable
   */
  whenRead(): Promise<void> {
    this.#firstReading ??= this.#readInPieces().catch((error: unknown) => {
      this.#firstReading = undefined
      throw error
    })
    return this.#firstReading
  }

  async #readInPieces(): Promise<void> {
    const room = Buffer.alloc(PIECE_BYTES)
    for (const file of this.files()) {
      while (this.#readOn(file, room) === 'more') await nextTurn()
    }
    this.read()
    this.#isRead = true
  }

  /** Kept and stored by nobody so far, oldest first. */
  pending(): JournalEntry[] {
    return [...this.#pending.values()].map(({ entry }) => entry).sort((a, b) => a.at - b.at)
  }

  /** Where each credential stands as far as journals know. */
  last(): Standings {
    return this.#last
  }

  /** The newest answer of a credential. */
  lastOf(configId: string): JournalEntry | undefined {
    const place = this.#last.get(configId)
    return place && this.entryAt(place)
  }

  entryAt(place: Place): JournalEntry | undefined {
    const line = this.#open(this.sealedAt(place))
    return line && 'tokens' in line ? { ...line, loginAt: line.loginAt ?? 0 } : undefined
  }

  sealedAt({ file, offset, bytes }: Place): string {
    return readFrom(join(this.#dir, file.name), offset, Buffer.alloc(bytes))?.toString('latin1') ?? ''
  }

  isPending({ attemptId }: JournalEntry): boolean {
    return this.#pending.has(attemptId)
  }

  /** False once a newer answer of the same credential is known, or another copy of this one. */
  isHeld(place: Place, { attemptId, configId }: JournalEntry): boolean {
    const known = this.#pending.get(attemptId)?.place ?? this.#last.get(configId)
    return known !== undefined && lineOf(known) === lineOf(place)
  }

  /** Everything worth keeping that is in these files, pending answers first. */
  heldIn(files: readonly string[]): Place[] {
    const isIn = ({ file }: Place) => files.includes(file.name)
    const held = [...this.#pending.values()].map(({ place }) => place).filter(isIn)
    const pending = new Set(held.map(lineOf))
    const last = files.flatMap((name) => {
      const file = this.#files.get(name)
      return file ? this.#last.placesIn(file) : []
    })
    return [...held, ...last.filter((place) => !pending.has(lineOf(place)))]
  }

  /** Of the last answers that are in this file, all together. */
  heldBytes(name: string): number {
    const file = this.#files.get(name)
    return file ? this.#last.bytesIn(file) : 0
  }

  hasUnreadable(file: string): boolean {
    return this.#files.get(file)?.hasUnreadable === true
  }

  /** It has another name from now on, and nothing of it is read again. */
  renamed(from: string, to: string): void {
    const file = this.#files.get(from)
    if (!file) return
    file.name = to
    this.#files.delete(from)
    this.#files.set(to, file)
  }

  forget(configId: string): void {
    this.#last.delete(configId)
  }

  files(): string[] {
    try {
      return readdirSync(this.#dir).filter((file) => file.endsWith('.journal'))
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code === 'ENOENT') return []
      throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be read' })
    }
  }

  /**
   * One line without an end may still be under way; cut off by a kill it is no entry, for its answer was never
   * acted upon either.
   * @param room for a piece of it; by default all there is
   */
  #readOn(name: string, room?: Buffer): 'gone' | 'more' | 'whole' {
    const file = this.#fileOf(name)
    const piece = readFrom(join(this.#dir, name), file.offset, room)
    if (!piece) return 'gone'
    let from = 0
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      const sealed = piece.toString('latin1', from, end)
      if (sealed !== '')
        this.#take(this.#open(sealed), sealed, { file, offset: file.offset, bytes: sealed.length })
      file.offset += end + 1 - from
      from = end + 1
    }
    return piece.length === room?.length && from > 0 ? 'more' : 'whole'
  }

  #fileOf(name: string): FileRead {
    const file = this.#files.get(name) ?? { name, offset: 0, hasUnreadable: false }
    this.#files.set(name, file)
    return file
  }

  /**
   * What this process has just written, and need not read again unless something before it is still to be read.
   * @param from where the bytes begin that were written, `offset` the line in them
   */
  wrote(line: Line, sealed: string, { name, from, offset }: Written): void {
    const file = this.#fileOf(name)
    if (file.offset !== from) return
    file.offset = offset + sealed.length + 1
    this.#take(line, sealed, { file, offset, bytes: sealed.length })
  }

  #take(line: Line | undefined, sealed: string, where: Omit<Place, keyof Standing>): void {
    if (!line) where.file.hasUnreadable = true
    else if (line.kind === 'done') this.#endPending(line.attemptId)
    else if ('tokens' in line) {
      const { attemptId, configId, loginAt = 0, fromVersion } = line
      const place: Place = { ...where, loginAt, version: fromVersion + 1 }
      const known = this.#last.get(configId)
      if (known && isAsNew(place, known) && this.#isBetterSealed(known, sealed)) return
      if (!known || !isOlder(place, known)) this.#last.set(configId, place)
      if (line.kind === 'last') this.#pending.delete(attemptId)
      else if (!this.#done.has(attemptId))
        this.#pending.set(attemptId, { place, entry: { ...line, loginAt } })
    }
  }

  /** Of two copies the one that outlives the older keys. */
  #isBetterSealed(known: Place, sealed: string): boolean {
    return !this.#keyRing.isCurrent(sealed) && this.#keyRing.isCurrent(this.sealedAt(known))
  }

  #endPending(attemptId: string): void {
    this.#pending.delete(attemptId)
    this.#done.add(attemptId)
    const [oldest] = this.#done
    if (this.#done.size > MAX_DONE && oldest !== undefined) this.#done.delete(oldest)
  }

  #open(sealed: string): Line | undefined {
    try {
      return JSON.parse(this.#keyRing.open(sealed)) as Line
    } catch {
      return undefined // torn, or sealed with a key that is gone
    }
  }

  #forgetFile(name: string): void {
    const file = this.#files.get(name)
    if (file) this.#last.forgetFile(file)
    this.#files.delete(name)
  }

  #forgetAll(): void {
    this.#files.clear()
    this.#pending.clear()
    this.#last.clear()
  }
}

function lineOf({ file, offset }: Place): string {
  return `${file.name} ${offset}`
}

function isAsNew(one: Standing, other: Standing): boolean {
  return !isOlder(one, other) && !isOlder(other, one)
}
