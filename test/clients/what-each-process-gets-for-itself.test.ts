/**
 * Tokens that each process has of its own, in its memory alone: signed here, or of the machine's identity. OpenAI's client
 * in front, a strict server behind.
 */
import { generateKeyPairSync } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { openTokenCalls, streamed } from '../credential/fixtures/token-calls.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { STREAMED } from '../support/strict-token-endpoint.ts'

const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const SIGNED = {
  credential: 'signed_jwt',
  signed_jwt: {
    ...{ algorithm: 'RS256', key: PEM, stamp: { jti: 'jti' } },
    claims: { iss: 'me', aud: 'models' },
    lifetime_seconds: 600,
  },
}

/** As a strict server reads it: the one who signs is tested beside `jose` elsewhere. */
function isGood(token: string): boolean {
  const { iat = 0, exp = 0, iss, aud } = decodeJwt(token)
  const now = Date.now() / 1_000
  const isTimely = iat <= now && exp > now && exp - iat <= 600
  return decodeProtectedHeader(token).alg === 'RS256' && iss === 'me' && aud === 'models' && isTimely
}

onEachDatabase(t, 'a token that the broker signs', async (t, database) => {
  const { endpoint, broker, key, replica, item, row, configId } = await openTokenCalls(t, database, {
    file: SIGNED,
  })
  const seen = new Set<string>()
  endpoint.knows = (token) => {
    seen.add(token)
    return isGood(token)
  }
  const brokers = [broker, await replica(), await replica()]
  for (const one of brokers) {
    t.same(await streamed(one, key), STREAMED)
    t.same(await streamed(one, key), STREAMED)
  }
  t.equal(seen.size, 3, 'one each, kept while it lives')
  t.equal(endpoint.asked, 0)
  t.match((await item()).credential, { kind: 'signed_jwt', state: 'active', expires_at: null })
  t.match(await row(), { oauth_state: 'active', oauth_expires_at: null })
  t.equal((await broker.admin('POST', `/api/models/configs/${configId}/refresh`)).status, 200)
  t.same(await streamed(broker, key), STREAMED)
  t.equal(seen.size, 4, 'a person asks: another')
})

onMysql(t, 'needs no database', async (t, database) => {
  const proxy = await TcpProxy.to(database.url)
  t.teardown(() => proxy.close())
  const file = { ...SIGNED, signed_jwt: { ...SIGNED.signed_jwt, lifetime_seconds: 8, backdate_seconds: 0 } }
  const via = proxy.via(database.url)
  const { endpoint, broker, key, complete } = await openTokenCalls(t, database, { file, via })
  const seen = new Set<string>()
  endpoint.knows = (token) => {
    seen.add(token)
    return isGood(token)
  }
  t.same(await streamed(broker, key), STREAMED)
  await new Promise((resolve) => setTimeout(resolve, 2_500)) // until it has heard of its own changes
  t.same(await streamed(broker, key), STREAMED)
  proxy.drop()
  const until = Date.now() + 9_000
  while (Date.now() < until) {
    const { status, body } = await complete()
    if (status !== 200) t.fail(JSON.stringify(body))
  }
  t.ok(seen.size >= 2, `${seen.size} tokens`)
  proxy.heal('late')
})

t.test('a key that is none is a person’s to mend', async (t: Test) => {
  const file = { ...SIGNED, signed_jwt: { ...SIGNED.signed_jwt, key: 'nothing' } }
  const { complete } = await openTokenCalls(t, { kind: 'SQLite', url: 'sqlite:' }, { file })
  t.match(await complete(), { status: 401, body: { error: { code: 'credential_refused' } } })
})

onEachDatabase(t, 'what stands for the machine is not shared with another', async (t, database) => {
  const calls = await openTokenCalls(t, database, {
    file: {
      credential: 'jwt_bearer',
      authorization_server: {},
      subject_token: { metadata: '{origin}/machine?audience=a', headers: { 'Metadata-Flavor': 'Google' } },
    },
    expected: () => [
      {
        ...{ path: '/machine?audience=a', method: 'GET', body: 'none' },
        headers: { 'metadata-flavor': 'Google' },
      },
      {
        path: '/token',
        parameters: {
          grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
          assertion: (value) => (value.includes('first-step') ? undefined : value),
        },
      },
    ],
  })
  const { endpoint, broker, key, complete, replica, row } = calls
  const brokers = [broker, await replica(), await replica()]
  t.same(await streamed(broker, key), STREAMED)
  const statuses = await Promise.all(
    Array.from({ length: 10 }, () => brokers.map((one) => complete(one))).flat(),
  )
  t.same([...new Set(statuses.map(({ status }) => status))], [200])
  t.equal(endpoint.asked, 2 * brokers.length)
  t.equal(endpoint.given.length, brokers.length, 'one each, for all of its callers')
  t.same(endpoint.complaints, [])
  t.match(await row(), { oauth_version: 1, oauth_expires_at: null })
})
