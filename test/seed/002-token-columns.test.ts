import { sql } from 'kysely'
import type { Database } from '../../src/storage/database.ts'
import { FernetKey } from '../../src/vault/fernet.ts'
import { type Open, requirement } from './requirement.ts'
import { ENCRYPTION_KEY } from './stage.ts'

const key = new FernetKey(ENCRYPTION_KEY)

async function store(open: Open, resourceUrl: string | null = null) {
  const stage = await open({ sandbox: { resourceUrl } })
  const { session_id, token } = await stage.logIn()
  const { id } = (await stage.createConfig({ oauth_session_id: session_id })).body
  return { ...stage, id, token, stored: await stage.row(id) }
}

/** As both servers and SQLite spell it: `varchar(50)`. */
async function typeOf({ kysely, kind }: Database, column: string): Promise<string> {
  const { rows } =
    kind === 'mysql'
      ? await sql<{ type: string }>`select column_type as type from information_schema.columns
          where table_schema = database() and table_name = 'model_configs' and column_name = ${column}`.execute(
          kysely,
        )
      : await sql<{ type: string }>`select type from pragma_table_info('model_configs')
          where name = ${column}`.execute(kysely)
  return String(rows[0]?.type).toLowerCase()
}

/** SQLite gives JSON as text. */
function parsed(metadata: unknown): unknown {
  return typeof metadata === 'string' ? JSON.parse(metadata) : metadata
}

requirement('OAuth Token 数据库字段', {
  '存储 token 基本信息': async (t, open) => {
    const { stored, token } = await store(open)
    t.equal(key.decrypt(stored.oauth_access_token ?? ''), token.access_token)
    t.equal(key.decrypt(stored.oauth_refresh_token ?? ''), token.refresh_token)
    t.equal(stored.oauth_expires_at, token.expires_at)
    const lifetime = Number(stored.oauth_expires_at) - Date.now()
    t.ok(lifetime > 50_000 && lifetime < 61_000, 'milliseconds')
  },

  '存储 token 类型': async (t, open) => {
    const { stored, tables, broker, createConfig, row } = await store(open)
    t.equal(stored.oauth_token_type, 'Bearer')
    t.equal(await typeOf(tables, 'oauth_token_type'), 'varchar(50)')
    for (const token_type of ['bearer', 'BEARER', undefined]) {
      const oauth_token = { access_token: 'access', token_type }
      const { id } = (await createConfig({ name: `类型 ${token_type}`, oauth_token })).body
      t.equal((await row(id)).oauth_token_type, 'Bearer', `"${token_type}" on the wire`)
    }
    t.equal(broker.sandbox.counts.refreshRequests, 0)
  },

  '存储 scope 信息': async (t, open) => {
    const { stored, tables, createConfig, row } = await store(open)
    t.equal(stored.oauth_scope, 'openid profile email model.completion', "the shipped file's scope, granted")
    t.equal(await typeOf(tables, 'oauth_scope'), 'varchar(500)')
    const { id } = (await createConfig({ name: '无 scope', oauth_token: { access_token: 'access' } })).body
    t.equal((await row(id)).oauth_scope, null)
  },

  存储额外元数据: async (t, open) => {
    const { stored, tables } = await store(open, 'portal.qwen.ai')
    t.match(parsed(stored.oauth_metadata), { resource_url: 'portal.qwen.ai' })
    t.match(await typeOf(tables, 'oauth_metadata'), /^(json|longtext)$/)
    // An object, not a string in a string.
    const nested = await tables.kysely
      .selectFrom('model_configs')
      .select(sql<string>`json_extract(oauth_metadata, '$.resource_url')`.as('url'))
      .executeTakeFirstOrThrow()
    t.match(nested.url, /^"?portal\.qwen\.ai"?$/)
  },
})
