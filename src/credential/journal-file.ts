/**
 * Files of the journal: pieces of any are read, and one is written to, which is this process's. That one is made when
 * first needed, and anew when somebody removed it: such a file is no longer read by anybody.
 */
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { BrokerError } from '../base/errors.ts'
import { makeFolder } from '../base/folder.ts'

/** Room for the longest answer. */
const MIN_FREE_BYTES = 128 * 1024

/** Where bytes were written: a line at `offset`, from whose beginning `from` on. */
export interface Written {
  readonly name: string
  readonly from: number
  readonly offset: number
}

interface Open {
  readonly name: string
  readonly fd: number
  bytes: number
  /** Its end is half a line. */
  isTorn: boolean
}

export function newJournalName(): string {
  return `${randomUUID()}.journal`
}

/** Writing throws what the file system says. */
export class JournalFile {
  readonly #dir: string
  #open: Open | undefined

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Undefined before anything was written. */
  get name(): string | undefined {
    return this.#open?.name
  }

  get bytes(): number {
    return this.#open?.bytes ?? 0
  }

  append(sealed: string): Written {
    const open = this.#present()
    const { name, bytes: from, isTorn } = open
    const bytes = Buffer.from(`${isTorn ? '\n' : ''}${sealed}\n`)
    const written = writeSync(open.fd, bytes)
    open.bytes += written
    open.isTorn = written < bytes.length && written > 0
    if (written < bytes.length) throw new Error('no room for a whole line')
    return { name, from, offset: from + Number(isTorn) }
  }

  /** That an answer could be written. Writes nothing. */
  prove(): void {
    const { name, fd } = this.#present()
    if (statSync(join(this.#dir, name), { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) this.replace()
    accessSync(this.#dir, constants.W_OK)
    accessSync(join(this.#dir, this.#present().name), constants.W_OK)
    const { blocks, bavail, bsize } = statfsSync(this.#dir)
    if (blocks > 0 && bavail * bsize < MIN_FREE_BYTES) throw new Error('no room for an answer')
  }

  /** A new one, whatever there is. */
  replace(): Open {
    this.close()
    makeFolder(this.#dir)
    const name = newJournalName()
    this.#open = { name, fd: openSync(join(this.#dir, name), 'a', 0o600), bytes: 0, isTorn: false }
    return this.#open
  }

  close(): void {
    const open = this.#open
    this.#open = undefined
    if (open) closeSync(open.fd)
  }

  #present(): Open {
    return this.#open && fstatSync(this.#open.fd).nlink > 0 ? this.#open : this.replace()
  }
}

/**
 * Undefined for a file that another process removed in the meantime.
 * @param room what is read goes into it, as much as it takes; by default all there is, into a new one
 * @throws BrokerError storage_unavailable
 */
export function readFrom(path: string, offset: number, room?: Buffer): Buffer | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new BrokerError('storage_unavailable', { cause, detail: 'the journal cannot be read' })
  }
  try {
    const bytes = room ?? Buffer.alloc(Math.max(0, fstatSync(file).size - offset))
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, offset))
  } finally {
    closeSync(file)
  }
}
