/**
 * A server refuses what a config was given: whoever calls hears what to do about it, the server is not asked with every
 * call, the token there is serves to its end, and once it is mended all goes on.
 */
import t, { type Test } from 'tap'
import type { Broker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { waitUntil } from '../support/wait-until.ts'
import { openTokenCalls } from './fixtures/token-calls.ts'

const WRONG = {
  status: 401,
  body: { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret provided.' },
}

async function eventsOf({ admin }: Broker, configId: string): Promise<string[]> {
  const { items } = (await admin('GET', `/api/audit?config_id=${configId}`)).body
  return items
    .map(({ type }: { type: string }) => type)
    .filter((type: string) => type.startsWith('credential.'))
}

onEachDatabase(t, 'a wrong secret', async (t, database) => {
  const { endpoint, broker, configId, complete, item } = await openTokenCalls(t, database)
  endpoint.fault = WRONG
  const answer = await complete()
  t.match(answer, {
    status: 401,
    body: { error: { code: 'credential_refused', message: /401 invalid_client/ } },
  })
  t.equal(answer.headers.get('x-should-retry'), 'false')
  t.notMatch(answer.body.error.message, /AADSTS/, 'the rest is for those who manage')
  for (const { status } of await Promise.all(Array.from({ length: 50 }, () => complete())))
    t.equal(status, 401)
  t.equal(endpoint.asked, 1, 'not with every call')
  t.match((await item()).credential, {
    state: 'refused',
    next_action: 'edit_inputs',
    reason: 'status 401 invalid_client AADSTS7000215: Invalid client secret provided.',
  })
  const doctor = await broker.admin('POST', `/api/models/configs/${configId}/diagnose`)
  t.match(doctor.body, { ok: false, code: 'credential_refused', checks: [{ name: 'refresh', ok: false }] })

  const refresh = () => broker.admin('POST', `/api/models/configs/${configId}/refresh`)
  t.match(await refresh(), { status: 401, body: { code: 'credential_refused' } })
  t.equal(endpoint.asked, 2, 'a person asks: at once')
  endpoint.fault = undefined
  t.match(await refresh(), { status: 200, body: { credential: { state: 'active', next_action: 'none' } } })
  t.equal((await complete()).status, 200)
  t.same(await eventsOf(broker, configId), ['credential.recovered', 'credential.refused'])
})

onEachDatabase(t, 'the token there is serves to its end', async (t, database) => {
  const { endpoint, complete, endsIn, row } = await openTokenCalls(t, database)
  t.equal((await complete()).status, 200)
  await waitUntil(async () => (await row()).oauth_version === 2)
  endpoint.fault = WRONG
  await endsIn(200_000) // due, and alive
  t.equal((await complete()).status, 200)
  t.equal((await row()).oauth_state, 'refused')
  t.equal((await complete()).status, 200, 'refused, and the token lives')
  await endsIn(-1)
  t.equal((await complete()).status, 401)
  t.equal(endpoint.asked, 2)
})

t.test('one that upstream refuses as well is not asked for with every call', async (t: Test) => {
  const { endpoint, complete, row } = await openTokenCalls(t, { kind: 'SQLite', url: 'sqlite:' })
  t.equal((await complete()).status, 200)
  await waitUntil(async () => (await row()).oauth_version === 2) // one that is not stored yet is fresh: not its fault
  endpoint.fault = WRONG
  endpoint.revoke()
  for (let calls = 0; calls < 5; calls += 1) {
    t.match(await complete(), { status: 401, body: { error: { code: 'credential_refused' } } })
  }
  t.equal(endpoint.asked, 2)
})

const PASSING: Record<
  string,
  NonNullable<Awaited<ReturnType<typeof openTokenCalls>>['endpoint']['fault']>
> = {
  '408': { status: 408, body: { error: 'invalid_client' } },
  '429': { status: 429, body: { error: 'access_denied' } },
  '500': { status: 500, body: { error: 'invalid_grant' } },
  'a firewall’s page': { status: 403, headers: { 'content-type': 'text/html' }, body: '<html>no</html>' },
  temporarily_unavailable: { status: 400, body: { error: 'temporarily_unavailable' } },
  'half a body': { status: 401, headers: { 'content-type': 'application/json' }, body: '{"error":"inv' },
}

for (const [name, fault] of Object.entries(PASSING)) {
  t.test(`${name} refuses nothing`, async (t: Test) => {
    const { endpoint, complete, item } = await openTokenCalls(t, { kind: 'SQLite', url: 'sqlite:' })
    endpoint.fault = fault
    t.match(await complete(), { status: 503, body: { error: { code: 'refresh_unavailable' } } })
    t.equal((await item()).credential.state, 'cooling_down')
  })
}

const REFUSING: [status: number, code: string][] = [
  ...[400, 401, 403, 404, 422].map((status): [number, string] => [status, 'whatever_it_says']),
  ...[
    'invalid_client',
    'invalid_grant',
    'unauthorized_client',
    'invalid_scope',
    'invalid_target',
    'access_denied',
  ].map((code): [number, string] => [200, code]),
  [200, 'InvalidApiKey'],
]

for (const [status, error] of REFUSING) {
  t.test(`${status} ${error} does`, async (t: Test) => {
    const { endpoint, complete } = await openTokenCalls(
      t,
      { kind: 'SQLite', url: 'sqlite:' },
      {
        file: {
          credential: 'client_credentials',
          authorization_server: { client_id: 'c', client_secret: 's' },
          errors: { refused: ['InvalidApiKey'] },
        },
      },
    )
    endpoint.fault = { status, body: { error } }
    t.match(await complete(), { status: 401, body: { error: { code: 'credential_refused' } } })
  })
}
