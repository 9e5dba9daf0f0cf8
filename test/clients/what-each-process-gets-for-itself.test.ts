/**
 * Tokens that each process has of its own, in its memory alone: signed here, or of the machine's identity. OpenAI's client
 * in front, a strict server behind.
 */
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import type { AwsKeys } from '../../src/base/aws-signature.ts'
import { TcpProxy } from '../chaos/tcp-proxy.ts'
import { openTokenCalls, streamed } from '../credential/fixtures/token-calls.ts'
import { readAll } from '../gateway/fixtures/upstream.ts'
import { refusalOf } from '../support/aws-server.ts'
import { onEachDatabase, onMysql } from '../support/databases.ts'
import { STREAMED, streamWords } from '../support/strict-token-endpoint.ts'

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

onEachDatabase(
  t,
  'a refusal is told once, and seen at every replica, until one is taken again',
  async (t, database) => {
    const path = join(t.testdir({ key: 'nothing' }), 'key')
    const file = { ...SIGNED, signed_jwt: { ...SIGNED.signed_jwt, key: { file: path } } }
    const calls = await openTokenCalls(t, database, { file })
    const { endpoint, broker, configId, complete, replica } = calls
    endpoint.knows = isGood
    const brokers = [broker, await replica(), await replica()]
    const seen = async () => {
      const items = brokers.map((one) => one.admin('GET', `/api/models/configs/${configId}`))
      return (await Promise.all(items)).map(({ body }) => body.credential)
    }
    const told = async () => {
      const { items } = (await broker.admin('GET', `/api/audit?config_id=${configId}`)).body
      const types: string[] = items.map(({ type }: { type: string }) => type)
      return types.filter((type) => type.startsWith('credential.'))
    }
    for (const { status } of await Promise.all(brokers.map((one) => complete(one)))) t.equal(status, 401)
    const reason = 'signed_jwt.key is not a private key in PEM for RS256'
    const refused = { state: 'refused', next_action: 'edit_inputs', reason }
    t.match(await seen(), [refused, refused, refused])
    t.same(await told(), ['credential.refused'])

    writeFileSync(path, PEM)
    t.equal((await complete(brokers.at(-1))).status, 200, 'tried at once with another file')
    const active = { state: 'active', next_action: 'none', reason: null }
    t.match(await seen(), [active, active, active])
    t.same(await told(), ['credential.recovered', 'credential.refused'])
  },
)

const KEYS: AwsKeys = {
  accessKeyId: 'ASIAOFTHECONTAINER',
  secretAccessKey: 'secret/of+the+container-0123456789',
  sessionToken: 'token-of-the-container==',
}
const PLACE = { region: 'us-east-1', service: 'bedrock-mantle' }

onEachDatabase(t, 'AWS keys, by which each process signs', async (t, database) => {
  let asked = 0
  const refusals = new Set<string | undefined>()
  const server = createServer(async (request, response) => {
    const body = await readAll(request)
    if (request.url === '/keys') {
      asked += 1
      const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: Token } = KEYS
      const Expiration = new Date(Date.now() + 3_600_000).toISOString()
      response.end(JSON.stringify({ AccessKeyId, SecretAccessKey, Token, Expiration }))
      return
    }
    const refusal = await refusalOf(request, body, new Map([[KEYS.accessKeyId, KEYS]]), PLACE)
    refusals.add(refusal)
    if (refusal === undefined) streamWords(response)
    else response.writeHead(403).end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { broker, key, complete, replica, row } = await openTokenCalls(t, database, {
    env: { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${origin}/keys` },
    file: {
      ...{ credential: 'aws_sigv4', aws_sigv4: { ...PLACE, credentials: ['container'] } },
      upstream: { base_url: `${origin}/openai/v1` },
    },
  })
  const brokers = [broker, await replica(), await replica()]
  // A machine's own service has two seconds, which are few where all of this shares two cores.
  for (const one of brokers) t.equal((await complete(one)).status, 200)
  const callers = brokers.flatMap((one) => Array.from({ length: 10 }, () => complete(one)))
  t.same([...new Set((await Promise.all(callers)).map(({ status }) => status))], [200])
  for (const one of brokers) t.same(await streamed(one, key), STREAMED)
  t.equal(asked, brokers.length, 'one each, for all of its callers')
  t.same([...refusals], [undefined])
  t.match(await row(), { oauth_state: 'active', oauth_version: 1, oauth_expires_at: null })
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
