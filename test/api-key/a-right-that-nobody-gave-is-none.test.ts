/** Whoever can write to the database has keys of their own make calls, and none of them read a token. */
import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { noteChange } from '../../src/storage/changes.ts'
import type { ApiKeyRow } from '../../src/storage/tables.ts'
import { call, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'
import { waitUntil } from '../support/wait-until.ts'

const MINUTE = 60_000
const KEYS = '/api/keys'
const MESSAGES = [{ role: 'user', content: 'hi' }]
const digestOf = (key: string) => createHash('sha256').update(key).digest('hex')

onEachDatabase(t, 'rows of somebody who has no encryption key', async (t, where) => {
  const env = { ALLOW_TOKEN_READING: 'true' }
  const broker = await startBroker(t, { databaseUrl: where.url, env })
  const [mine, other] = [await broker.connect('mine'), await broker.connect('other')]
  const tables = openTables(t, broker, where)
  const made = async (fields: object) =>
    (await broker.admin('POST', KEYS, { name: 'reader', model_config_ids: [mine.configId], ...fields })).body
  const ends = Date.now() + 60 * MINUTE
  const reader = await made({ may_read_tokens: true, expires_at: ends })
  const plain = await made({})
  const read = async (key: string, config = 'mine') =>
    (await call(`${broker.origin}/api/token`, 'POST', { config }, key)).status
  const complete = async (key: string) =>
    (
      await call(
        `${broker.origin}/v1/chat/completions`,
        'POST',
        { model: 'sandbox-model', messages: MESSAGES },
        key,
      )
    ).status
  const rowOf = (id: string) =>
    tables.run((db) => db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirstOrThrow())
  /** What it has kept of any row it reads again: of what was changed, the log does not say. */
  const heard = () => tables.run((db) => noteChange(db))
  const set = async (id: string, values: Partial<ApiKeyRow>) => {
    await tables.run((db) => db.updateTable('api_keys').set(values).where('id', '=', id).execute())
    await heard()
  }
  t.same([await read(reader.key), await read(plain.key)], [200, 403])
  const [good, bad] = [await rowOf(reader.id), await rowOf(plain.id)]
  t.ok(good.right_seal)
  t.equal(bad.right_seal, null, 'a key without the right has no seal')

  const attacks: Record<string, { of: ApiKeyRow; set: Partial<ApiKeyRow>; key: string }> = {
    'the right on a key of theirs': { of: bad, set: { may_read_tokens: 1 }, key: plain.key },
    "with a reader's seal": {
      of: bad,
      set: { may_read_tokens: 1, right_seal: good.right_seal, expires_at: good.expires_at },
      key: plain.key,
    },
    'other configs for a reader': {
      of: good,
      set: { model_config_ids: JSON.stringify([mine.configId, other.configId]) },
      key: reader.key,
    },
    'all configs for a reader': { of: good, set: { model_config_ids: null }, key: reader.key },
    'more time for a reader': { of: good, set: { expires_at: ends + MINUTE }, key: reader.key },
    'no seal': { of: good, set: { right_seal: null }, key: reader.key },
  }
  for (const [what, { of, set: values, key }] of Object.entries(attacks)) {
    await set(of.id, values)
    await waitUntil(async () => (await read(key)) === 403)
    for (const config of ['mine', 'other']) t.equal(await read(key, config), 403, `${what}: ${config}`)
    t.equal(await complete(key), 200, `${what}: it makes calls as before`)
    await broker.admin('PATCH', `${KEYS}/${of.id}`, { name: `${of.name} renamed` })
    t.equal(await read(key), 403, `${what}: nor is it signed because something else changes`)
    await set(of.id, of)
    await waitUntil(async () => (await read(reader.key)) === 200)
  }

  const theirs = `sk-tb-${randomBytes(32).toString('base64url')}`
  const inserted = { ...good, id: 'theirs', key_hash: digestOf(theirs) }
  await tables.run((db) => db.insertInto('api_keys').values(inserted).execute())
  await heard()
  await waitUntil(async () => (await complete(theirs)) === 200)
  t.equal(await read(theirs), 403, 'a key of their own')
  await tables.run((db) => db.deleteFrom('api_keys').where('id', '=', 'theirs').execute())
  await set(reader.id, { key_hash: digestOf(theirs) })
  await waitUntil(async () => (await complete(theirs)) === 200)
  t.equal(await read(theirs), 403, "in a reader's place")
  await set(reader.id, good)
  const rotated = { key_hash: digestOf(theirs), key_id: reader.id, ends_at: ends, key_seal: null }
  await tables.run((db) => db.insertInto('rotated_keys').values(rotated).execute())
  await heard()
  await waitUntil(async () => (await complete(theirs)) === 200)
  t.equal(await read(theirs), 403, 'as one that was rotated')
  await tables.run((db) => db.deleteFrom('rotated_keys').execute())
  await heard()

  const next = (await broker.admin('POST', `${KEYS}/${reader.id}/rotate`, { overlap_seconds: 60 })).body
  t.same([await read(reader.key), await read(next.key)], [200, 200], 'both for the overlap')
  const again = (await broker.admin('POST', `${KEYS}/${reader.id}/rotate`, { overlap_seconds: 30 })).body
  t.same([await read(reader.key), await read(again.key)], [200, 200], 'also where it ends sooner')
  await broker.admin('PATCH', `${KEYS}/${reader.id}`, { model_config_ids: [other.configId] })
  t.same(
    [await read(reader.key, 'other'), await read(again.key, 'other'), await read(again.key)],
    [200, 200, 404],
  )
  await tables.run((db) => db.updateTable('rotated_keys').set({ ends_at: ends }).execute())
  await heard()
  await waitUntil(async () => (await read(reader.key, 'other')) === 403)
  t.equal(await read(again.key, 'other'), 200, 'the key itself is as good as before')
})
