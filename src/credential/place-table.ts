/**
 * Where the last answer of each credential is, by config id: a map that keeps its entries in numbers, outside of V8's heap.
 * A hundred thousand objects that live on would make that grow to six times what they take, and it shrinks late.
 */
import type { Standing } from './credential.ts'

/** Where the line of an answer is, and how new that is. */
export interface Place extends Standing {
  readonly file: FileRead
  readonly offset: number
  readonly bytes: number
}

export interface FileRead {
  name: string
  /** How far, in bytes. */
  offset: number
  /** It has lines that no key of ours opens, or that were torn. */
  hasUnreadable: boolean
}

/** `model_configs.id`. */
const ID_BYTES = 36
/** Of a place: file, offset, bytes, loginAt, version. */
const NUMBERS = 5
/** Entries are laid out in blocks, so that none is copied while the table grows. */
const BLOCK = 4_096
const FIRST_SLOTS = 256
/** A slot of an entry that was deleted: what was put behind it is still found. */
const DELETED = -1

interface Block {
  /** All 0: no entry. */
  readonly ids: Buffer
  readonly numbers: Float64Array
}

export class PlaceTable {
  readonly #blocks: Block[] = []
  /** Open addressing, at most half full: the number of an entry and one, 0 for none. */
  #slots = new Int32Array(FIRST_SLOTS)
  /** Slots that are not 0. */
  #taken = 0
  /** Entries that there were at once, at most; some may be free. */
  #entries = 0
  readonly #free: number[] = []
  /** By their numbers, which those that come after {@link forgetFile} take over. */
  readonly #files: (FileRead | undefined)[] = []
  readonly #numberOf = new Map<FileRead, number>()

  get size(): number {
    return this.#entries - this.#free.length
  }

  has(configId: string): boolean {
    return this.#find(configId) !== undefined
  }

  get(configId: string): Place | undefined {
    const slot = this.#find(configId)
    return slot === undefined ? undefined : this.#placeOf(this.#entryIn(slot))
  }

  set(configId: string, { file, offset, bytes, loginAt, version }: Place): void {
    const slot = this.#find(configId)
    const entry = slot === undefined ? this.#add(configId) : this.#entryIn(slot)
    const { numbers } = this.#blockOf(entry)
    const at = NUMBERS * (entry % BLOCK)
    numbers[at] = this.#fileNumber(file)
    numbers[at + 1] = offset
    numbers[at + 2] = bytes
    numbers[at + 3] = loginAt
    numbers[at + 4] = version
  }

  delete(configId: string): void {
    const slot = this.#find(configId)
    if (slot === undefined) return
    const entry = this.#entryIn(slot)
    this.#slots[slot] = DELETED
    const at = ID_BYTES * (entry % BLOCK)
    this.#blockOf(entry).ids.fill(0, at, at + ID_BYTES)
    this.#free.push(entry)
  }

  clear(): void {
    this.#blocks.length = 0
    this.#slots = new Int32Array(FIRST_SLOTS)
    this.#taken = 0
    this.#entries = 0
    this.#free.length = 0
    this.#files.length = 0
    this.#numberOf.clear()
  }

  /** Where each credential stands. Others may be set and deleted meanwhile. */
  *[Symbol.iterator](): Generator<[string, Standing], void> {
    for (let entry = 0; entry < this.#entries; entry += 1) {
      if (!this.#isUsed(entry)) continue
      yield [this.#idOf(entry), { loginAt: this.#number(entry, 3), version: this.#number(entry, 4) }]
    }
  }

  placesIn(file: FileRead): Place[] {
    return this.#entriesIn(file).map((entry) => this.#placeOf(entry))
  }

  /** Of all that are in this file. */
  bytesIn(file: FileRead): number {
    return this.#entriesIn(file).reduce((sum, entry) => sum + this.#number(entry, 2), 0)
  }

  /** Nothing is in it any more. */
  forgetFile(file: FileRead): void {
    const number = this.#numberOf.get(file)
    if (number === undefined) return
    this.#numberOf.delete(file)
    this.#files[number] = undefined
  }

  #entriesIn(file: FileRead): number[] {
    const number = this.#numberOf.get(file)
    const entries: number[] = []
    for (let entry = 0; number !== undefined && entry < this.#entries; entry += 1) {
      if (this.#isUsed(entry) && this.#number(entry, 0) === number) entries.push(entry)
    }
    return entries
  }

  #add(configId: string): number {
    if (2 * (this.#taken + 1) > this.#slots.length) this.#layOutSlots()
    const entry = this.#free.pop() ?? this.#entries
    if (entry === BLOCK * this.#blocks.length)
      this.#blocks.push({ ids: Buffer.alloc(ID_BYTES * BLOCK), numbers: new Float64Array(NUMBERS * BLOCK) })
    this.#entries = Math.max(this.#entries, entry + 1)
    this.#blockOf(entry).ids.write(configId, ID_BYTES * (entry % BLOCK), ID_BYTES, 'latin1')
    this.#place(configId, entry)
    return entry
  }

  #place(configId: string, entry: number): void {
    const mask = this.#slots.length - 1
    let slot = hashOf(configId) & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry + 1
    this.#taken += 1
  }

  /** Twice as many, unless most are of entries that were deleted. */
  #layOutSlots(): void {
    const { length } = this.#slots
    this.#slots = new Int32Array(4 * this.size < length ? length : 2 * length)
    this.#taken = 0
    for (let entry = 0; entry < this.#entries; entry += 1) {
      if (this.#isUsed(entry)) this.#place(this.#idOf(entry), entry)
    }
  }

  /** The slot of its entry. */
  #find(configId: string): number | undefined {
    const mask = this.#slots.length - 1
    for (let slot = hashOf(configId) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#entryIn(slot)
      if (entry === -1) return undefined
      if (entry >= 0 && this.#idOf(entry) === configId) return slot
    }
  }

  /** -1: none; less: one that was deleted. */
  #entryIn(slot: number): number {
    return (this.#slots[slot] ?? 0) - 1
  }

  #blockOf(entry: number): Block {
    const block = this.#blocks[Math.floor(entry / BLOCK)]
    if (!block) throw new Error('an entry in no block')
    return block
  }

  #isUsed(entry: number): boolean {
    return this.#blockOf(entry).ids[ID_BYTES * (entry % BLOCK)] !== 0
  }

  #idOf(entry: number): string {
    const at = ID_BYTES * (entry % BLOCK)
    const id = this.#blockOf(entry).ids.toString('latin1', at, at + ID_BYTES)
    const end = id.indexOf('\0')
    return end < 0 ? id : id.slice(0, end)
  }

  #number(entry: number, which: number): number {
    return this.#blockOf(entry).numbers[NUMBERS * (entry % BLOCK) + which] ?? 0
  }

  #placeOf(entry: number): Place {
    const file = this.#files[this.#number(entry, 0)]
    if (!file) throw new Error('a place in no file')
    return {
      file,
      offset: this.#number(entry, 1),
      bytes: this.#number(entry, 2),
      loginAt: this.#number(entry, 3),
      version: this.#number(entry, 4),
    }
  }

  #fileNumber(file: FileRead): number {
    const known = this.#numberOf.get(file)
    if (known !== undefined) return known
    const free = this.#files.indexOf(undefined)
    const number = free < 0 ? this.#files.length : free
    this.#files[number] = file
    this.#numberOf.set(file, number)
    return number
  }
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash >>> 0
}
