/** The first tables, the same on both databases. */
import { type Kysely, MysqlAdapter, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  const isMysql = db.getExecutor().adapter instanceof MysqlAdapter
  // MySQL's default collations hold 'Ab' and 'aB' equal: ids, names and hashes are compared byte by byte.
  const end = isMysql ? sql`character set utf8mb4 collate utf8mb4_bin` : sql``
  // MySQL's text ends at 64 KiB, which 500 long model ids are not.
  const longText = isMysql ? sql`mediumtext` : 'text'

  await db.schema
    .createTable('model_configs')
    .addColumn('id', 'varchar(36)', (column) => column.primaryKey())
    .addColumn('name', 'varchar(255)', (column) => column.notNull())
    .addColumn('active_name', 'varchar(255)', (column) => column.unique())
    .addColumn('provider', 'varchar(50)', (column) => column.notNull())
    .addColumn('base_url', 'varchar(2048)', (column) => column.notNull())
    .addColumn('api_key', 'text', (column) => column.notNull())
    .addColumn('models', longText, (column) => column.notNull())
    .addColumn('is_active', 'smallint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('deleted_at', 'bigint')
    .addColumn('oauth_access_token', 'text')
    .addColumn('oauth_refresh_token', 'text')
    .addColumn('oauth_token_type', 'varchar(50)')
    .addColumn('oauth_scope', 'varchar(500)')
    .addColumn('oauth_expires_at', 'bigint')
    .addColumn('oauth_metadata', 'json')
    .addColumn('oauth_refreshed_at', 'bigint')
    .addColumn('oauth_version', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('oauth_state', 'varchar(20)', (column) => column.notNull())
    .addColumn('oauth_refresh_fingerprint', 'varchar(64)')
    .addColumn('lease_owner', 'varchar(64)')
    .addColumn('lease_until', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('attempt_id', 'varchar(36)')
    .addColumn('last_attempt_id', 'varchar(36)')
    .addColumn('next_attempt_at', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('last_error', 'varchar(255)')
    .modifyEnd(end)
    .execute()
  await db.schema
    .createIndex('model_configs_expiry')
    .on('model_configs')
    .columns(['oauth_state', 'oauth_expires_at'])
    .execute()
  await db.schema
    .createIndex('model_configs_listing')
    .on('model_configs')
    .columns(['deleted_at', 'created_at', 'id'])
    .execute()

  await db.schema
    .createTable('device_sessions')
    .addColumn('id', 'varchar(64)', (column) => column.primaryKey())
    .addColumn('provider', 'varchar(50)', (column) => column.notNull())
    .addColumn('device_code_hash', 'varchar(64)', (column) => column.notNull().unique())
    .addColumn('device_code', 'text', (column) => column.notNull())
    .addColumn('code_verifier', 'text')
    .addColumn('interval_ms', 'integer', (column) => column.notNull())
    .addColumn('next_poll_at', 'bigint', (column) => column.notNull())
    .addColumn('status', 'varchar(20)', (column) => column.notNull())
    .addColumn('tokens', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
  await db.schema.createIndex('device_sessions_expiry').on('device_sessions').column('expires_at').execute()

  await db.schema
    .createTable('api_keys')
    .addColumn('id', 'varchar(36)', (column) => column.primaryKey())
    .addColumn('name', 'varchar(255)', (column) => column.notNull())
    .addColumn('key_hash', 'varchar(64)', (column) => column.notNull().unique())
    .addColumn('key_prefix', 'varchar(20)', (column) => column.notNull())
    .addColumn('model_config_ids', 'text')
    .addColumn('models', longText)
    .addColumn('requests_per_minute', 'integer')
    .addColumn('expires_at', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()

  await db.schema
    .createTable('rate_counters')
    .addColumn('bucket', 'varchar(191)', (column) => column.primaryKey())
    .addColumn('calls', 'text', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()

  await db.schema
    .createTable('change_counter')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .modifyEnd(end)
    .execute()
  const ignore = isMysql ? sql`ignore` : sql`` // a start that was broken off may have written it
  await sql`insert ${ignore} into change_counter (id, value) values (1, 0)`.execute(db)
}
