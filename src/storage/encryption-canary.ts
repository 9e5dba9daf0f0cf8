/**
 * Whether the keys of TOKEN_ENCRYPTION_KEY are this database's: one sealed row that every start opens.
 *
 * Without it a wrong key looks healthy until the first call. In a database that holds sealed values already the row is
 * written only after one of them was opened, so that a wrong key cannot make itself the right one.
 */
import { BUILT_IN_ENCRYPTION_KEY, encryptionKeyId } from '../base/encryption-keys.ts'
import { ConfigError } from '../base/environment.ts'
import { BrokerError } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import { noteChange } from './changes.ts'
import { type Database, DuplicateError } from './database.ts'

/** The keys at hand; `src/vault/key-ring.ts` is one. */
export interface Cipher {
  readonly currentId: string
  seal(plaintext: string): string
  open(sealed: string): string
}

/** Its rows: that the keys are the right ones, and that every row is tied to its secrets (`credential/row-seals.ts`). */
const CANARY = { id: 1, text: 'token-broker' }
const SEALED_ROWS = { id: 2, text: 'every row has its seal' }
/** Some rows may be damaged; that all of so many are means that the key is another. */
const MAX_TRIED = 50

const BUILT_IN_ID = encryptionKeyId(new Secret(BUILT_IN_ENCRYPTION_KEY))

/**
 * A database without any config is new, and its rows have seals from the first one on.
 * @throws ConfigError if no key at hand opens what is stored | BrokerError storage_unavailable
 */
export async function proveKeys(database: Database, keys: Cipher): Promise<void> {
  const canary = await read(database, CANARY.id)
  if (canary) {
    if (opens(keys, canary.sealed)) return
    throw missingKey(
      canary.key_id === BUILT_IN_ID ? 'the built-in key' : `key ${canary.key_id}`,
      canary.key_id,
    )
  }
  const stored = await storedValues(database)
  if (stored.length > 0 && !stored.some((sealed) => opens(keys, sealed))) {
    throw missingKey('a key that none of those given is', undefined)
  }
  const proofs = (await isNew(database)) ? [CANARY, SEALED_ROWS] : [CANARY]
  if (!(await insert(database, keys, proofs))) await proveKeys(database, keys)
}

/** Whether they still do: another replica may have rotated to a key that is none of these. */
export async function keysFit(database: Database, keys: Cipher): Promise<boolean> {
  const canary = await read(database, CANARY.id)
  return canary === undefined || opens(keys, canary.sealed)
}

/** Part of a rotation, once nothing is left that an older key sealed. */
export async function resealCanary(database: Database, keys: Cipher): Promise<void> {
  for (const proof of [CANARY, SEALED_ROWS]) {
    await database.run((db) =>
      db.updateTable('encryption_canary').set(sealed(proof, keys)).where('id', '=', proof.id).execute(),
    )
  }
}

/** Whether rows without a seal are to be refused. */
export async function rowsAreSealed(database: Database): Promise<boolean> {
  return (await read(database, SEALED_ROWS.id)) !== undefined
}

/** From now on they are, at every replica. Only once every row has its seal, and no older release runs any more. */
export async function markRowsSealed(database: Database, keys: Cipher): Promise<void> {
  if (await rowsAreSealed(database)) return
  await insert(database, keys, [SEALED_ROWS])
  await database.transaction(noteChange)
}

type Proof = typeof CANARY

function sealed({ text }: Proof, keys: Cipher) {
  return { key_id: keys.currentId, sealed: keys.seal(text) }
}

function read(database: Database, id: number) {
  return database.run((db) =>
    db.selectFrom('encryption_canary').selectAll().where('id', '=', id).executeTakeFirst(),
  )
}

/** False if another replica was faster. */
async function insert(database: Database, keys: Cipher, proofs: readonly Proof[]): Promise<boolean> {
  const rows = proofs.map((proof) => ({ id: proof.id, ...sealed(proof, keys) }))
  try {
    await database.run((db) => db.insertInto('encryption_canary').values(rows).execute())
    return true
  } catch (error) {
    if (error instanceof DuplicateError) return false
    throw error
  }
}

async function isNew(database: Database): Promise<boolean> {
  const config = await database.run((db) =>
    db.selectFrom('model_configs').select('id').limit(1).executeTakeFirst(),
  )
  return config === undefined
}

/** Some of the sealed values, of both kinds. */
async function storedValues(database: Database): Promise<string[]> {
  const rows = await database.run((db) =>
    db
      .selectFrom('model_configs')
      .select(['api_key', 'oauth_access_token'])
      .where((row) => row.or([row('api_key', '!=', ''), row('oauth_access_token', 'is not', null)]))
      .limit(MAX_TRIED)
      .execute(),
  )
  return rows.map(({ api_key, oauth_access_token }) => oauth_access_token || api_key)
}

function opens(keys: Cipher, sealed: string): boolean {
  try {
    keys.open(sealed)
    return true
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'decryption_failed') return false
    throw error
  }
}

function missingKey(which: string, keyId: string | undefined): ConfigError {
  const text = keyId === BUILT_IN_ID ? 'default' : 'OLD'
  return new ConfigError(
    `TOKEN_ENCRYPTION_KEY: this database was sealed with ${which}, which is missing. Write it behind your own, ` +
      `TOKEN_ENCRYPTION_KEY=YOURS,${text}, start every replica so, then run: npx token-broker encryption-key rotate`,
  )
}
