/** The search that every broker of the tests ends with: it must find what it is there to find. */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type BrokerOptions, call, startBroker } from './broker.ts'
import { startProcess } from './broker-process.ts'
import { Canary } from './canary.ts'
import { onEachDatabase } from './databases.ts'
import { lookBeforeEnd, searchCommand, searchDataDir, searchLog, watch } from './secret-search.ts'
import { openTables } from './tables.ts'

const SECRET = 'sk/upstream+canary "0123456789"'

t.test('every spelling of a secret is found wherever it begins, and others are not', async (t) => {
  const canary = new Canary()
  canary.watch('api key', SECRET)
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const shown = [
    SECRET,
    `x${SECRET}y`,
    encodeURIComponent(SECRET),
    `${new URLSearchParams({ key: SECRET })}`,
    JSON.stringify({ key: SECRET }),
    Buffer.from(SECRET).toString('hex'),
    Buffer.from(SECRET).toString('base64url'),
    ...['', 'u', 'us', 'user:'].map((before) => base64(`${before}${SECRET} and more`)),
  ]
  for (const text of shown) t.same(canary.foundIn(text), ['api key'], text.slice(0, 6))
  t.same(canary.foundIn(SECRET.slice(0, -1)), [])
  t.same(canary.foundIn('nothing'), [])
  t.throws(() => canary.watch('x', 'short'), /too short/)
})

t.test('a log is searched in pieces, and a secret is found whichever it is in or across', (t) => {
  const file = join(t.testdir(), 'broker.log')
  const secret = 'sk-in-a-long-log-0123456789'
  watch('log secret', secret)
  const line = 'é'.repeat(30)
  for (let before = 0; before < 12; before += 1) {
    for (const end of ['\n', '']) {
      writeFileSync(file, `${`${line}\n`.repeat(before)}${line}${secret}${line}${end}`)
      t.throws(() => searchLog(file, 200), /log secret/, `${before} lines before, ${JSON.stringify(end)}`)
    }
  }
  for (const text of ['', '\n', `${line}\n`.repeat(20)]) {
    writeFileSync(file, text)
    searchLog(file, 200)
  }
  t.end()
})

const METRICS_TOKEN = 'metrics-token-0123456789'
const API_KEY = 'sk-upstream-0123456789abcdef'

/** A broker, and a secret of every class that was made in it. */
async function withSecrets(t: Test, options: BrokerOptions = {}) {
  const broker = await startBroker(t, { ...options, env: { METRICS_TOKEN } })
  const started = (await call(`${broker.origin}/api/sandbox/oauth/device-code`, 'POST', {})).body
  await broker.sandbox.approve(started.user_code)
  const status = `${broker.origin}/api/sandbox/oauth/status?session_id=${started.session_id}`
  const { token } = (await call(status, 'GET')).body
  const { key } = (await broker.admin('POST', '/api/keys', { name: 'k' })).body
  const fields = { provider: 'openai', base_url: 'https://models.example/v1', models: [{ model_id: 'm' }] }
  const config = { name: 'by key', api_key: API_KEY, ...fields }
  await broker.admin('POST', '/api/models/configs', config)
  const secrets: Record<string, string> = {
    'device code': started.device_code,
    'access token': token.access_token,
    'refresh token': token.refresh_token,
    'broker key': key,
    'api key': API_KEY,
    adminToken: broker.adminToken,
    metricsToken: METRICS_TOKEN,
  }
  return { broker, secrets, config }
}

/** What it complains of, which shows none of the secrets. */
async function complaint(t: Test, work: Promise<unknown>, secrets: Record<string, string>): Promise<string> {
  const message = await work.then(
    () => 'nothing was found',
    (error: Error) => error.message,
  )
  for (const secret of Object.values(secrets)) t.notOk(message.includes(secret))
  return message
}

t.test('a secret of any class in a log line fails the test', async (t) => {
  const { broker, secrets } = await withSecrets(t)
  for (const secret of Object.values(secrets)) broker.log.push(`{"msg":"${encodeURIComponent(secret)}"}`)
  const message = await complaint(t, broker.close(), secrets)
  t.match(message, /in the log/)
  for (const name of Object.keys(secrets)) t.ok(message.includes(name), name)
})

onEachDatabase(t, 'a token that is stored as it is fails the test', async (t, database) => {
  const { broker, secrets } = await withSecrets(t, { databaseUrl: database.url })
  const { run } = openTables(t, broker, database)
  await run((db) => db.updateTable('model_configs').set({ aliases: secrets['refresh token'] }).execute())
  t.match(await complaint(t, broker.close(), secrets), /in the database.*refresh token/)
})

t.test('so does a secret in an answer that is not made to tell it', async (t) => {
  const { broker, secrets, config } = await withSecrets(t)
  for (const [name, secret] of Object.entries(secrets)) {
    const answer = broker.admin('POST', '/api/models/configs', { ...config, name: secret.slice(0, 100) })
    t.match(await complaint(t, answer, secrets), `in the answer /api/models…: ${name}`)
  }
  await t.rejects(broker.close(), /in the database/)
})

t.test('a token that was handed in is looked for as one that was issued', async (t) => {
  const { broker, secrets } = await withSecrets(t)
  await broker.admin('POST', '/api/models/configs', {
    name: 'a config',
    provider: 'sandbox',
    models: [{ model_id: 'm' }],
    oauth_token: {
      access_token: 'at-0123456789abcdef',
      refresh_token: 'rt-0123456789abcdef',
      expires_at: 4e12,
    },
  })
  broker.log.push('at-0123456789abcdef')
  t.match(await complaint(t, broker.close(), secrets), /in the log.*access token/)
})

t.test('so is what commands say, and what they leave behind', (t) => {
  const secret = 'a-token-of-some-command'
  watch('access token', secret)
  t.throws(
    () => searchCommand(['status'], `you have ${encodeURIComponent(secret)}`),
    /in the command status: access token/,
  )
  t.doesNotThrow(() => searchCommand(['token'], secret))
  t.doesNotThrow(() => searchCommand(['status'], secret.slice(0, -1)))
  const dataDir = t.testdir({ 'token-broker.sqlite': `x${secret}y` })
  t.throws(() => searchDataDir(dataDir), /in the database/)
  t.end()
})

t.test('metrics are asked for and searched', async (t) => {
  watch('counted', 'a-secret-that-is-counted')
  const metrics = createServer((_request, response) =>
    response.end('calls{key="a-secret-that-is-counted"} 1'),
  )
  await new Promise<void>((resolve) => metrics.listen(0, '127.0.0.1', resolve))
  t.teardown(() => metrics.close())
  const origin = `http://127.0.0.1:${(metrics.address() as AddressInfo).port}`
  const findings = await lookBeforeEnd(origin, t.testdir(), 'anything')
  t.match(findings, [
    { place: 'metrics', names: ['counted'] },
    { place: 'database', names: [] },
  ])
})

t.test('so is a broker that is a process of its own, at its end', async (t) => {
  const broker = await startProcess({ teardown: () => {} }, { dir: t.testdir() })
  watch('said', broker.origin) // it logs its address
  await t.rejects(broker.end(), /a secret is shown in the log : said/)

  const other = await startProcess({ teardown: () => {} }, { dir: t.testdir() })
  watch('stored', 'a-secret-that-is-stored')
  writeFileSync(join(other.dataDir, 'some.journal'), 'a-secret-that-is-stored')
  await t.rejects(other.end(), /in the database : stored/)
})
