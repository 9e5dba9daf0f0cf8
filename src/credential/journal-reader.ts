/**
 * What the journals of a DATA_DIR hold, whichever process wrote it: answers that no row holds yet, and the last
 * answer of every credential. Reads only; `journal.ts` writes.
 *
 * Files only grow, and a new one has a new name, so nothing is read twice. Answers that are stored are known by
 * their place and opened when asked for: a hundred thousand logins are not to lie in memory in plain text.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BrokerError } from '../base/errors.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { isOlder, type Standing } from './credential.ts'

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

/** Where a line is, and what it is about. */
export interface Place extends Standing {
  readonly file: string
  readonly offset: number
  readonly bytes: number
  readonly attemptId: string
  readonly configId: string
  readonly at: number
}

/** Some milliseconds of work; several lines of the greatest length. */
const PIECE_BYTES = 512 * 1024
/** Attempts that are over, remembered in case that a copy of their answer turns up. */
const MAX_DONE = 100_000

export class JournalReader {
  readonly #dir: string
  readonly #keyRing: KeyRing
  /** How far each file was read, in bytes. */
  readonly #offsets = new Map<string, number>()
  readonly #unreadable = new Set<string>()
  readonly #done = new Set<string>()
  readonly #pending = new Map<string, { place: Place; entry: JournalEntry }>()
  readonly #last = new Map<string, Place>()
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
      const gone = [...this.#offsets.keys()].filter((file) => !files.includes(file))
      for (const file of gone) this.#offsets.delete(file)
      if (gone.length > 0 && this.#placesIn(gone).length > 0) {
        this.#forgetAll()
        isWhole = false
      }
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
    for (const file of this.files()) {
      while (this.#readOn(file, PIECE_BYTES) === 'more') await nextTurn()
    }
    this.read()
    this.#isRead = true
  }

  /** Kept and stored by nobody so far, oldest first. */
  pending(): JournalEntry[] {
    return [...this.#pending.values()].map(({ entry }) => entry).sort((a, b) => a.at - b.at)
  }

  /** Where each credential stands as far as journals know. */
  last(): ReadonlyMap<string, Place> {
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
    return readFrom(join(this.#dir, file), offset, bytes) ?? ''
  }

  isPending({ attemptId }: Place): boolean {
    return this.#pending.has(attemptId)
  }

  /** False once a newer answer of the same credential is known. */
  isNewest(place: Place): boolean {
    return this.isPending(place) || this.#last.get(place.configId)?.attemptId === place.attemptId
  }

  /** Everything worth keeping that is in these files. */
  heldIn(files: readonly string[]): Place[] {
    return this.#placesIn(files)
  }

  /** Whether a file has lines that no key of ours opens, or that were torn. */
  hasUnreadable(file: string): boolean {
    return this.#unreadable.has(file)
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
   * @param most bytes; by default all there are
   */
  #readOn(file: string, most?: number): 'gone' | 'more' | 'whole' {
    const from = this.#offsets.get(file) ?? 0
    const text = readFrom(join(this.#dir, file), from, most)
    if (text === undefined) return 'gone'
    const end = text.lastIndexOf('\n') + 1
    this.#offsets.set(file, from + end)
    let offset = from
    for (const sealed of text.slice(0, end).split('\n')) {
      if (sealed !== '') this.#take(this.#open(sealed), sealed, { file, offset, bytes: sealed.length })
      offset += sealed.length + 1
    }
    return text.length === most && end > 0 ? 'more' : 'whole'
  }

  /**
   * What this process has just written, and need not read again unless something before it is still to be read.
   * @param from where the bytes begin that were written, `where` the line in them
   */
  wrote(line: Line, sealed: string, from: number, where: Pick<Place, 'file' | 'offset' | 'bytes'>): void {
    if ((this.#offsets.get(where.file) ?? 0) !== from) return
    this.#offsets.set(where.file, where.offset + where.bytes + 1)
    this.#take(line, sealed, where)
  }

  #take(line: Line | undefined, sealed: string, where: Pick<Place, 'file' | 'offset' | 'bytes'>): void {
    if (!line) this.#unreadable.add(where.file)
    else if (line.kind === 'done') this.#endPending(line.attemptId)
    else if ('tokens' in line) {
      const { attemptId, configId, loginAt = 0, fromVersion, at } = line
      const place: Place = { ...where, attemptId, configId, loginAt, version: fromVersion + 1, at }
      const known = this.#last.get(configId)
      if (known?.attemptId === attemptId && this.#isBetterSealed(known, sealed)) return
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

  #placesIn(files: readonly string[]): Place[] {
    const pending = [...this.#pending.values()].map(({ place }) => place)
    const last = [...this.#last.values()].filter((place) => !this.isPending(place))
    return [...pending, ...last].filter(({ file }) => files.includes(file))
  }

  #forgetAll(): void {
    this.#offsets.clear()
    this.#pending.clear()
    this.#last.clear()
    this.#unreadable.clear()
  }
}

/** Undefined for a file that another process removed in the meantime. Sealed lines are ASCII: a byte is a character. */
function readFrom(path: string, offset: number, length?: number): string | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be read' })
  }
  try {
    const bytes = Buffer.alloc(length ?? Math.max(0, fstatSync(file).size - offset))
    return bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, offset))
  } finally {
    closeSync(file)
  }
}
