/**
 * A server that nobody has heard of, in a file that is written when the test runs: its form is there, an account is
 * connected with it, a wrong key is told and mended, and OpenAI's client gets its stream.
 */
import t from 'tap'
import { streamed } from '../credential/fixtures/token-calls.ts'
import { createConfigAndKey, must, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { STREAMED, startStrictEndpoint } from '../support/strict-token-endpoint.ts'
import { waitUntil } from '../support/wait-until.ts'

onEachDatabase(t, 'an invented vendor', async (t, database) => {
  const endpoint = await startStrictEndpoint(t, {
    path: '/acme/session',
    body: 'json',
    authorization: 'Acme right-key-0123456789',
    parameters: { region: 'north', kind: 'short-lived' },
  })
  endpoint.answer = (token, seconds) => ({
    status: 201,
    headers: { 'x-acme-session': token },
    body: { ends: new Date(Date.now() + seconds * 1_000).toISOString() },
  })
  const acme = {
    label: { en: 'Acme', zh: '艾克米' },
    credential: 'token_request',
    inputs: {
      region: { label: { en: 'Region', zh: '地域' }, choices: ['north', 'south'] },
      key: { label: { en: 'Key', zh: '密钥' }, secret: true, pattern: '^[\\w-]+$' },
    },
    token_request: [
      {
        url: `${endpoint.origin}/acme/session`,
        headers: { authorization: 'Acme {key}' },
        json: { region: '{region}', kind: 'short-lived' },
        response: { token: { header: 'x-acme-session' }, expires: { pointer: '/ends', unit: 'rfc3339' } },
      },
    ],
    upstream: { base_url: `${endpoint.origin}/v1` },
  }
  const broker = await startBroker(t, {
    databaseUrl: database.url,
    config: JSON.stringify({ allow_insecure_loopback: true, providers: { acme } }),
  })
  const { items } = await must(broker.admin('GET', '/api/providers'))
  const listed = items.find(({ name }: { name: string }) => name === 'acme')
  t.match(listed, { credential: 'token_request', label: 'Acme' })

  const { configId, key } = await createConfigAndKey(broker, {
    ...{ name: 'c', provider: 'acme', models: [{ model_id: 'm' }] },
    inputs: { region: 'north', key: 'wrong-key-0123456789' },
  })
  const path = `/api/models/configs/${configId}`
  await t.rejects(streamed(broker, key), { status: 401, code: 'credential_refused' })
  t.match((await must(broker.admin('GET', path))).credential, {
    state: 'refused',
    next_action: 'edit_inputs',
  })
  t.equal(endpoint.asked, 1)
  await must(broker.admin('PUT', path, { inputs: { key: 'right-key-0123456789' } }))
  t.same(await streamed(broker, key), STREAMED, 'what is changed is tried at once')
  t.equal(endpoint.asked, 2)
  await waitUntil(async () => (await must(broker.admin('GET', path))).credential.state === 'active')
})
