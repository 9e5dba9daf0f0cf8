/**
 * Remembers secrets and looks for them where none may be: as they are, and in the spellings that texts give them.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import type { Database } from '../../src/storage/database.ts'

/** Shorter ones stand in other texts by chance. */
export const MIN_LENGTH = 12
/** Every spelling is at least so long, and is found by its beginning. */
const HEAD = 8
/** Of the filter that most places of a text do not get past. */
const SLOTS = 1 << 16

interface Spelling {
  readonly text: string
  readonly name: string
}

export class Canary {
  readonly #secrets = new Map<string, string>()
  readonly #byHead = new Map<string, Spelling[]>()
  readonly #isHead = new Uint8Array(SLOTS)

  /** From now on nothing may show this. The first name stays. */
  watch(name: string, value: string | null | undefined): void {
    if (!value || value.length < MIN_LENGTH) throw new Error(`${name} is too short to be looked for`)
    if (this.#secrets.has(value)) return
    this.#secrets.set(value, name)
    for (const text of spellings(value)) {
      this.#isHead[slotOf(text, 0)] = 1
      const head = text.slice(0, HEAD)
      const others = this.#byHead.get(head)
      if (others) others.push({ text, name })
      else this.#byHead.set(head, [{ text, name }])
    }
  }

  get size(): number {
    return this.#secrets.size
  }

  /** Of everything watched, each once. */
  get names(): string[] {
    return [...new Set(this.#secrets.values())]
  }

  /** Names of the secrets that a text shows. One pass, however many they are. */
  foundIn(text: string): string[] {
    const found = new Set<string>()
    for (let at = 0; at + HEAD <= text.length; at += 1) {
      if (this.#isHead[slotOf(text, at)] === 0) continue
      for (const spelling of this.#byHead.get(text.slice(at, at + HEAD)) ?? []) {
        if (text.startsWith(spelling.text, at)) found.add(spelling.name)
      }
    }
    return [...found]
  }
}

function slotOf(text: string, at: number): number {
  const first = text.charCodeAt(at) | (text.charCodeAt(at + 1) << 8)
  const next = text.charCodeAt(at + 2) | (text.charCodeAt(at + 3) << 8)
  return (first ^ (next * 31)) & (SLOTS - 1)
}

/** As it is, URL-encoded, JSON-escaped, in hex, and in base64 and base64url. */
function spellings(value: string): Set<string> {
  // Base64 of a text inside another one starts at one of three offsets; the ends depend on the neighbours.
  const encoded = [0, 1, 2].map((offset) =>
    Buffer.from(' '.repeat(offset) + value)
      .toString('base64')
      .slice(4, -4),
  )
  return new Set([
    value,
    encodeURIComponent(value),
    new URLSearchParams([['', value]]).toString().slice(1),
    JSON.stringify(value).slice(1, -1),
    Buffer.from(value).toString('hex'),
    ...encoded,
    ...encoded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ])
}

/** Every byte of SQLite's files, with all that was deleted from them, and of the journals. */
export function fileBytes(dataDir: string): string {
  return readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter(({ name }) => /\.sqlite(-wal|-shm)?$|\.journal$/.test(name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n')
}

/** Every byte of the database, which for a server is its rows, and of the journals. */
export async function databaseBytes({ kysely, kind }: Database, dataDir: string): Promise<string> {
  const texts = [fileBytes(dataDir)]
  for (const { name } of kind === 'sqlite' ? [] : await kysely.introspection.getTables()) {
    texts.push(JSON.stringify((await sql`select * from ${sql.table(name)}`.execute(kysely)).rows))
  }
  return texts.join('\n')
}
