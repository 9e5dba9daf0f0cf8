/**
 * Reads what a token call is made with, each time anew: others replace these files while we run.
 */
import { readFile } from 'node:fs/promises'
import type { SimpleSource } from '../provider/simple-source.ts'
import type { WireAnswer } from './wire.ts'

const MAX_CHARACTERS = 256 * 1024

/** What a call was to be made with is not there, so it is not made. */
export class SourceTrouble extends Error {
  override readonly name = 'SourceTrouble'
  /** Nothing but a person helps; else it may be there in a moment. */
  readonly isLasting: boolean

  constructor(why: string, isLasting: boolean) {
    super(why)
    this.isLasting = isLasting
  }

  /** Of a request that was not sent for this. */
  get answer(): WireAnswer {
    return { kind: 'unsent', why: this.message, isLasting: this.isLasting }
  }
}

/** @throws SourceTrouble */
export async function readSimpleSource(source: SimpleSource): Promise<string> {
  if (source.from === 'file') return readTextFile(source)
  if (source.text === undefined) throw new SourceTrouble(`${source.name}: ${source.lacks}`, true)
  return source.text.reveal()
}

/** Kubernetes and others put a new file in its place by way of a link; for a moment it is empty, or not there. */
async function readTextFile({ name, path }: Extract<SimpleSource, { from: 'file' }>): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException
    throw new SourceTrouble(`${name}: the file cannot be read (${code})`, false)
  }
  const trimmed = text.slice(0, MAX_CHARACTERS).trim() // a byte order mark is white space, too
  if (trimmed === '') throw new SourceTrouble(`${name}: the file is empty`, false)
  return trimmed
}
