/** The server's part of docs/embedding.md, run as it stands there. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { ADMIN_TOKEN, call, login, startBroker } from '../support/broker.ts'
import { QWEN } from './fixtures/qwen.ts'

const PAGE = readFileSync(new URL('../../docs/embedding.md', import.meta.url), 'utf8')

interface Example {
  configOf(userId: string): Promise<{ id: string; external_id: string; credential: object } | undefined>
  onboard(userId: string, sessionId: string): Promise<string>
  logInAgain(userId: string, sessionId: string): Promise<object>
  beginLogin(userId: string): Promise<{ session_id: string; callback: boolean }>
  lookAtLogin(userId: string, sessionId: string): Promise<object>
}

t.test('three calls give a person an account and a key of their own', async (t) => {
  const broker = await startBroker(t, { config: QWEN })
  const [, code = ''] = /^```js\n(const BROKER.*?)^```$/ms.exec(PAGE) ?? []
  t.match(code, "const BROKER = 'https://broker.example.com'")
  const [, more = ''] = /^```js\n(export async function beginLogin.*?)^```$/ms.exec(PAGE) ?? []
  const file = join(t.testdir(), 'onboarding.mjs')
  writeFileSync(file, code.replace('https://broker.example.com', broker.origin) + more)
  process.env['ADMIN_TOKEN'] = ADMIN_TOKEN
  const { configOf, onboard, logInAgain, beginLogin, lookAtLogin }: Example = await import(
    pathToFileURL(file).href
  )

  t.equal(await configOf('user-1'), undefined)
  const keys = [
    await onboard('user-1', await login(broker, 'qwen')),
    await onboard('user-2', await login(broker, 'qwen')),
  ]
  for (const [index, key] of keys.entries()) {
    const answer = await ask(`${broker.origin}/v1/chat/completions`, {
      key,
      body: { model: 'sandbox-model', messages: [{ role: 'user', content: 'hi' }] },
    })
    t.equal(answer.status, 200)
    t.match(
      decodeURIComponent(String(answer.headers['x-token-broker-trace'])),
      `config=qwen of user-${index + 1};`,
    )
  }
  t.match(await configOf('user-2'), { external_id: 'user-2', credential: { state: 'active' } })
  await t.rejects(onboard('user-2', await login(broker, 'qwen')), { code: 'external_id_taken' })

  await broker.sandbox.revokeFamilies()
  const config = await configOf('user-1')
  await broker.admin('POST', `/api/models/configs/${config?.id}/refresh`)
  t.match(await configOf('user-1'), { credential: { next_action: 'login' } })
  t.match(await logInAgain('user-1', await login(broker, 'qwen')), { credential: { state: 'active' } })
  const again = await call(`${broker.origin}/v1/models`, 'GET', undefined, keys[0])
  t.equal(again.status, 200, 'the same key')

  const begun = await beginLogin('user-2')
  t.match(begun, { user_code: String, callback: false })
  t.match(await lookAtLogin('user-2', begun.session_id), { status: 'pending' })
})
