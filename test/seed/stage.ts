/**
 * A broker whose provider `qwen` is the shipped file, with the sandbox in the place of chat.qwen.ai.
 */
import type { Test } from 'tap'
import { Secret } from '../../src/base/secret.ts'
import { RowSeals } from '../../src/credential/row-seals.ts'
import { rowIdOf } from '../../src/onboarding/device-session.ts'
import { DeviceSessionStore } from '../../src/onboarding/device-session-store.ts'
import type { Database } from '../../src/storage/database.ts'
import type { DeviceSessionRow, ModelConfigRow, Tables } from '../../src/storage/tables.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { type Answer, type Broker, type BrokerOptions, call, startBroker } from '../support/broker.ts'
import type { TestDatabase } from '../support/databases.ts'
import { openTables } from '../support/tables.ts'

export const ENCRYPTION_KEY = 'c2VlZC10ZXN0cy1zZWFsLXdpdGgtdGhpcy1rZXkhISE='

/** CONFIG_FILE. @param fields of the provider file beside its authorization server */
export function qwenAtTheSandbox(fields: object): string {
  const authorization_server = {
    device_authorization_endpoint: '{sandbox}/oauth/device/code',
    token_endpoint: '{sandbox}/oauth/token',
    client_id: 'token-broker-sandbox',
  }
  const providers = { qwen: { authorization_server, ...fields } }
  return JSON.stringify({ allow_insecure_loopback: true, providers }) // JSON is YAML
}

/** A row without a login. */
export const NO_LOGIN = {
  oauth_access_token: null,
  oauth_refresh_token: null,
  oauth_token_type: null,
  oauth_scope: null,
  oauth_expires_at: null,
  oauth_metadata: null,
}

export interface StageOptions extends BrokerOptions {
  /** `refresh:` of the provider file, over the shipped one; callers wait however slow the machine is. */
  readonly refresh?: { timeout_seconds?: number }
}

export interface Stage {
  readonly broker: Broker
  readonly tables: Database
  deviceCode(): Promise<Answer>
  /** `/status?…` */
  status(query: string): Promise<Answer>
  /** Started, approved, polled: the session and what `/status` answered. */
  logIn(): Promise<{ session_id: string; token: Token }>
  createConfig(fields: Record<string, unknown>): Promise<Answer>
  createKey(): Promise<string>
  complete(key: string, at?: Broker): Promise<Answer>
  /** Another broker on the same database and sandbox. */
  replica(env?: Record<string, string>): Promise<Broker>
  row(id: string): Promise<ModelConfigRow>
  setRow(id: string, values: Partial<ModelConfigRow>): Promise<void>
  session(sessionId: string): Promise<DeviceSessionRow | undefined>
  /** Sealed anew, as the broker would. */
  setSession(sessionId: string, values: Partial<DeviceSessionRow>): Promise<void>
}

export interface Token {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_at: number
  readonly token_type: string
  readonly scope?: string
  readonly resource_url?: string
}

export async function openStage(
  t: Test,
  kind: TestDatabase,
  { refresh, ...options }: StageOptions = {},
): Promise<Stage> {
  const brokerOptions: BrokerOptions = {
    databaseUrl: kind.url,
    config: qwenAtTheSandbox({
      upstream: { base_url: '{sandbox}/v1' },
      refresh: { wait_seconds: 10, ...refresh },
    }),
    ...options,
    env: { TOKEN_ENCRYPTION_KEY: ENCRYPTION_KEY, ...options.env },
  }
  const broker = await startBroker(t, brokerOptions)
  const tables = openTables(t, broker, kind)
  const api = `${broker.origin}/api/qwen/oauth`
  const deviceCode = () => call(`${api}/device-code`, 'POST', {})
  const status = (query: string) => call(`${api}/status?${query}`, 'GET')
  const ring = new KeyRing([new Secret(ENCRYPTION_KEY)])
  const session = (sessionId: string) =>
    tables.run((db) =>
      db.selectFrom('device_sessions').selectAll().where('id', '=', rowIdOf(sessionId)).executeTakeFirst(),
    )
  return {
    broker,
    tables,
    deviceCode,
    status,
    async logIn() {
      const { session_id, user_code } = (await deviceCode()).body
      await broker.sandbox.approve(user_code)
      return { session_id, token: (await status(`session_id=${session_id}`)).body.token }
    },
    createConfig: (fields) =>
      broker.admin('POST', '/api/models/configs', {
        name: '通义千问',
        provider: 'qwen',
        models: [{ model_id: 'sandbox-model' }],
        ...fields,
      }),
    createKey: async () => (await broker.admin('POST', '/api/keys', { name: 'app' })).body.key,
    complete: (key, at = broker) => {
      const messages = [{ role: 'user', content: '你好' }]
      return call(`${at.origin}/v1/chat/completions`, 'POST', { model: 'sandbox-model', messages }, key)
    },
    replica: (env) =>
      startBroker(t, {
        ...brokerOptions,
        shared: broker.sandbox,
        env: { ...brokerOptions.env, DATA_DIR: broker.dataDir, ...env },
      }),
    row: (id) =>
      tables.run(async (db) => {
        const query = db.selectFrom('model_configs').selectAll().where('id', '=', id)
        return (await query.executeTakeFirstOrThrow()) as unknown as ModelConfigRow
      }),
    setRow: async (id, values) => {
      const columns = values as Partial<Tables['model_configs']> & { oauth_metadata?: string | null }
      await tables.run((db) => db.updateTable('model_configs').set(columns).where('id', '=', id).execute())
    },
    session,
    setSession: async (sessionId, values) => {
      const row = { ...(await session(sessionId)), ...values } as DeviceSessionRow
      const { session_seal } = new DeviceSessionStore(tables, ring, new RowSeals(ring)).seal(row)
      await tables.run((db) =>
        db
          .updateTable('device_sessions')
          .set({ ...values, session_seal })
          .where('id', '=', row.id)
          .execute(),
      )
    },
  }
}

/** A `detail` in Chinese. */
export const CHINESE = /[\u4e00-\u9fff]/
