/**
 * Remembers every secret of a flow and looks for it where none may be.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import type { Database } from '../../src/storage/database.ts'

export class Canary {
  readonly #secrets = new Map<string, string>()

  /** From now on nothing may show this. */
  watch(name: string, value: string | null | undefined): void {
    if (!value || value.length < 16) throw new Error(`${name} is too short to be looked for: ${value}`)
    this.#secrets.set(name, value)
  }

  get size(): number {
    return this.#secrets.size
  }

  /** Names of the secrets that a text shows, as they are, URL-encoded or in base64. */
  foundIn(text: string): string[] {
    return [...this.#secrets]
      .filter(([, value]) => disguises(value).some((form) => text.includes(form)))
      .map(([name]) => name)
  }
}

function disguises(value: string): string[] {
  // Base64 of a text inside another one starts at one of three offsets; the ends depend on the neighbours.
  const encoded = [0, 1, 2].map((offset) =>
    Buffer.from(' '.repeat(offset) + value)
      .toString('base64')
      .slice(4, -4),
  )
  return [value, encodeURIComponent(value), Buffer.from(value).toString('hex'), ...encoded]
}

/** Every byte of the database: its rows, and for SQLite its files with all that was deleted from them. */
export async function databaseBytes({ kysely, kind }: Database, dataDir: string): Promise<string> {
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'config.yaml')
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
  if (kind === 'sqlite') return files.join('\n')
  const tables = await kysely.introspection.getTables()
  for (const { name } of tables) {
    files.push(JSON.stringify((await sql`select * from ${sql.table(name)}`.execute(kysely)).rows))
  }
  return files.join('\n')
}
