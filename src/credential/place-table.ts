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
const FIRST_ROOM = 64
/** A slot of an entry that was deleted: what was put behind it is still found. */
const DELETED = -1

export class PlaceTable {
  #room = FIRST_ROOM
  #ids = Buffer.alloc(ID_BYTES * FIRST_ROOM)
  #numbers = new Float64Array(NUMBERS * FIRST_ROOM)
  /** Open addressing, at most half full: the number of an entry and one, 0 for none. */
  #slots = new Int32Array(4 * FIRST_ROOM)
  /** Slots that are not 0. */
  #taken = 0
  /** Entries that there were at once, at most; some may be free. */
  #entries = 0
  readonly #free: number[] = []
  readonly #files: FileRead[] = []

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

  set(configId: string, place: Place): void {
    const slot = this.#find(configId)
    const entry = slot === undefined ? this.#add(configId) : this.#entryIn(slot)
    const { offset, bytes, loginAt, version } = place
    this.#numbers.set([this.#numberOf(place.file), offset, bytes, loginAt, version], NUMBERS * entry)
  }

  delete(configId: string): void {
    const slot = this.#find(configId)
    if (slot === undefined) return
    const entry = this.#entryIn(slot)
    this.#slots[slot] = DELETED
    this.#ids.fill(0, ID_BYTES * entry, ID_BYTES * (entry + 1))
    this.#free.push(entry)
  }

  clear(): void {
    this.#ids.fill(0)
    this.#slots.fill(0)
    this.#taken = 0
    this.#entries = 0
    this.#free.length = 0
    this.#files.length = 0
  }

  /** Others may be set and deleted meanwhile. */
  *[Symbol.iterator](): Generator<[string, Place], void> {
    for (let entry = 0; entry < this.#entries; entry += 1) {
      const configId = this.#idOf(entry)
      if (configId !== '') yield [configId, this.#placeOf(entry)]
    }
  }

  #add(configId: string): number {
    if (2 * (this.#taken + 1) > this.#slots.length || this.size === this.#room) this.#grow()
    const entry = this.#free.pop() ?? this.#entries
    this.#entries = Math.max(this.#entries, entry + 1)
    this.#ids.write(configId, ID_BYTES * entry, ID_BYTES, 'latin1')
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

  /** Entries keep their numbers, by which they are gone through. */
  #grow(): void {
    if (this.size === this.#room) {
      this.#room *= 2
      this.#ids = Buffer.concat([this.#ids], ID_BYTES * this.#room)
      const numbers = new Float64Array(NUMBERS * this.#room)
      numbers.set(this.#numbers)
      this.#numbers = numbers
    }
    this.#slots = new Int32Array(4 * this.#room)
    this.#taken = 0
    for (let entry = 0; entry < this.#entries; entry += 1) {
      const configId = this.#idOf(entry)
      if (configId !== '') this.#place(configId, entry)
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

  #idOf(entry: number): string {
    const id = this.#ids.toString('latin1', ID_BYTES * entry, ID_BYTES * (entry + 1))
    const end = id.indexOf('\0')
    return end < 0 ? id : id.slice(0, end)
  }

  #placeOf(entry: number): Place {
    const [file = 0, offset = 0, bytes = 0, loginAt = 0, version = 0] = this.#numbers.subarray(
      NUMBERS * entry,
      NUMBERS * (entry + 1),
    )
    const read = this.#files[file]
    if (!read) throw new Error('a place in no file')
    return { file: read, offset, bytes, loginAt, version }
  }

  #numberOf(file: FileRead): number {
    const known = this.#files.indexOf(file)
    return known < 0 ? this.#files.push(file) - 1 : known
  }
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash >>> 0
}
