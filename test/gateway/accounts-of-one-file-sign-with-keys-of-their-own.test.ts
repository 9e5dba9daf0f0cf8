/** AWS keys that are inputs of a config: each account signs with its own, and with others from the moment they are set. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { AwsKeys } from '../../src/base/aws-signature.ts'
import { refusalOf } from '../support/aws-server.ts'
import { must, startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { ask } from './fixtures/client.ts'
import { addKey, json, readAll } from './fixtures/upstream.ts'

const BODY = { model: 'model-a' }

function keysOf(name: string): AwsKeys {
  const accessKeyId = `AKIA${name.toUpperCase().padEnd(16, 'X')}`
  return { accessKeyId, secretAccessKey: `aws-canary-${name}-secret`, sessionToken: undefined }
}

function inputsOf({ accessKeyId, secretAccessKey }: AwsKeys) {
  return { access_key_id: accessKeyId, secret_access_key: secretAccessKey }
}

onEachDatabase(t, 'each account signs with its own keys', async (t, { url }) => {
  const known = new Map(['first', 'second', 'third'].map((name) => [keysOf(name).accessKeyId, keysOf(name)]))
  const seen: string[] = []
  const server = createServer(async (request, response) => {
    const region = /^\/([a-z0-9-]+)\//.exec(request.url ?? '')?.[1] ?? ''
    const refusal = await refusalOf(request, await readAll(request), known, {
      region,
      service: 'bedrock-mantle',
    })
    seen.push(
      `${region} ${/Credential=AKIA([A-Z]+?)X*\//.exec(request.headers.authorization ?? '')?.[1]} ${refusal ?? 'good'}`,
    )
    json(response, { refusal }, refusal === undefined ? 200 : 403)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const secret = { secret: true, required: false }
  const provider = {
    credential: 'aws_sigv4',
    inputs: {
      region: { label: 'Region', pattern: '^[a-z]{2}-[a-z]+-[0-9]$' },
      access_key_id: { label: 'Key', required: false },
      secret_access_key: { label: 'Secret', ...secret },
      session_token: { label: 'Token', ...secret },
    },
    aws_sigv4: { region: '{region}', service: 'bedrock-mantle' },
    upstream: { base_url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/{region}/v1` },
  }
  const broker = await startBroker(t, {
    databaseUrl: url,
    config: JSON.stringify({ allow_insecure_loopback: true, providers: { signed: provider } }),
    env: { AWS_EC2_METADATA_DISABLED: 'true' },
  })
  const make = async (name: string, inputs: object) => {
    const config = { name, provider: 'signed', models: [{ model_id: 'model-a' }], inputs }
    const { id } = await must(broker.admin('POST', '/api/models/configs', config))
    const key = await addKey(broker, { model_config_ids: [id] })
    return { id, chat: () => ask(`${broker.origin}/v1/chat/completions`, { key, body: BODY }) }
  }
  const first = await make('first', { region: 'us-east-1', ...inputsOf(keysOf('first')) })
  const second = await make('second', { region: 'eu-west-1', ...inputsOf(keysOf('second')) })
  const none = await make('none', { region: 'eu-west-1' })
  t.equal((await first.chat()).status, 200)
  t.equal((await second.chat()).status, 200)
  t.equal((await none.chat()).status, 401, 'with keys of nobody')
  t.same(seen, ['us-east-1 FIRST good', 'eu-west-1 SECOND good'])

  const changed = { inputs: inputsOf(keysOf('third')) }
  t.equal((await broker.admin('PUT', `/api/models/configs/${first.id}`, changed)).status, 200)
  t.equal((await first.chat()).status, 200)
  t.same(seen.slice(2), ['us-east-1 THIRD good'])
  const { body } = await broker.admin('GET', `/api/models/configs/${first.id}`)
  t.match(body, {
    credential: { kind: 'aws_sigv4', state: 'active' },
    inputs: { region: 'us-east-1', secret_access_key: { set: true } },
  })
  const lacking = { name: 'lacking', provider: 'signed', models: [], inputs: inputsOf(keysOf('first')) }
  t.match(await broker.admin('POST', '/api/models/configs', lacking), {
    status: 422,
    body: { message: /inputs\.region/ },
  })
})
