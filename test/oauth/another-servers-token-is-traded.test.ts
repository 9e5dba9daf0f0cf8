/**
 * A source that is asked for: what another server gives is traded for the token that calls carry, and whatever becomes of
 * the first request is told of the second, which is then not made.
 */
import t, { type Test } from 'tap'
import { createRenew } from '../../src/credential/renew.ts'
import { AuthorizationServer } from '../../src/oauth/authorization-server.ts'
import { pollDeviceCode } from '../../src/oauth/device-code-grant.ts'
import { withInputs } from '../../src/provider/provider.ts'
import type { ProviderFile } from '../../src/provider/provider-file.ts'
import { credential } from '../credential/fixtures/credential.ts'
import { given, providerOf } from '../provider/fixtures/file.ts'
import { openWire, type Wire } from '../provider/fixtures/wire.ts'

const NOW = 1_800_000_000_000
const SECRET = 'idp-secret-0123456789'
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
const IDP = {
  url: 'https://idp.example/token',
  form: { grant_type: 'client_credentials', client_secret: '{idp_secret}' },
  response: { token: '/access_token' },
}
const FILE = {
  credential: 'token_exchange',
  inputs: { idp_secret: { label: 'Secret', secret: true } },
  authorization_server: { token_endpoint: 'https://auth.example/token', body: 'json' },
  subject_token: { token_request: [IDP] },
} satisfies Partial<ProviderFile>

const json = (body: object, status = 200) => ({ status, body: JSON.stringify(body) })

async function renewed(
  t: Test,
  answers: Wire['answers'],
  file: Partial<ProviderFile> = FILE,
  values = { idp_secret: SECRET },
) {
  const wire = await openWire(t)
  wire.answers = answers
  const provider = withInputs(providerOf(file), given(file.inputs ? values : {}))
  const server = () => new AuthorizationServer(provider, wire.dispatcher)
  const renew = createRenew(
    server,
    () => NOW,
    () => wire.dispatcher,
  )
  return { renewal: await renew(credential({ provider })), requests: wire.requests, server, wire }
}

t.test('one request after the other, each as its server wants it', async (t) => {
  const { renewal, requests } = await renewed(t, [
    json({ access_token: 'idp-token' }),
    json({ access_token: 'traded', expires_in: 60 }),
  ])
  t.match(renewal, { kind: 'tokens', tokens: { accessToken: 'traded', expiresAt: NOW + 60_000 } })
  t.same(requests, [
    `POST https://idp.example/token\naccept: application/json\ncontent-type: application/x-www-form-urlencoded\n\ngrant_type=client_credentials&client_secret=${SECRET}`,
    `POST https://auth.example/token\naccept: application/json\ncontent-type: application/json\n\n${JSON.stringify({ grant_type: EXCHANGE, subject_token: 'idp-token', subject_token_type: JWT })}`,
  ])
})

t.test(
  'it may be an assertion, of the grant or of the client, and the subject of a vendor’s request',
  async (t) => {
    const { subject_token, inputs, authorization_server } = FILE
    const files: Partial<ProviderFile>[] = [
      { ...FILE, credential: 'jwt_bearer' },
      {
        ...{ credential: 'client_credentials', inputs },
        authorization_server: { ...authorization_server, client_id: 'c', client_assertion: subject_token },
      },
      {
        ...{ credential: 'token_request', inputs, subject_token },
        token_request: [
          {
            ...{ url: 'https://auth.example/token', json: { held: '{subject_token}' } },
            response: { token: '/access_token' },
          },
        ],
      },
    ]
    for (const file of files) {
      const { renewal, requests } = await renewed(t, [json({ access_token: 'idp-token' })], file)
      t.match(renewal, { kind: 'tokens' }, String(file.credential))
      t.match(requests[1], /"idp-token"/)
    }
  },
)

const TROUBLES: [name: string, answer: Wire['answers'][number], expected: object][] = [
  [
    'a refusal is a person’s to mend',
    json({ error: 'invalid_client', error_description: `${SECRET} is wrong` }, 401),
    { kind: 'refused', why: /^subject_token: status 401 invalid_client/ },
  ],
  [
    'a server that is away may be back in a moment',
    json({ error: 'x' }, 503),
    { kind: 'not_processed', why: /^subject_token: status 503/ },
  ],
  ['no token', json({}), { kind: 'not_processed', why: /^subject_token: status 200, no token/ }],
]

for (const [name, answer, expected] of TROUBLES) {
  t.test(name, async (t) => {
    const { renewal, requests } = await renewed(t, [answer])
    t.match(renewal, expected)
    t.equal(requests.length, 1, 'nothing is traded')
    t.notMatch(JSON.stringify(renewal), SECRET)
  })
}

t.test('what the second server quotes of it is not told', async (t) => {
  const quoted = json({ error: 'invalid_grant', error_description: 'no idp-token here' }, 400)
  const { renewal } = await renewed(t, [json({ access_token: 'idp-token' }), quoted])
  t.match(renewal, { kind: 'refused', why: /^status 400 invalid_grant/ })
  t.notMatch(JSON.stringify(renewal), 'idp-token')
})

t.test('an access key that no header can have is a person’s to mend', async (t) => {
  for (const dialect of ['aws', 'volcengine'] as const) {
    const keys = { access_key: '{idp_secret}', secret_key: '{idp_secret}' }
    const step = { ...IDP, form: {}, sign: { dialect, region: 'r', service: 's', ...keys } }
    const signed: Partial<ProviderFile> = { ...FILE, subject_token: { token_request: [step] } }
    for (const idp_secret of ['ключ-ключ-ключ', 'with a blank', 'é'.repeat(12)]) {
      const { renewal, requests } = await renewed(t, [], signed, { idp_secret })
      t.match(renewal, { kind: 'refused', why: /sign\.access_key: has characters that no header/ })
      t.notMatch(JSON.stringify(renewal), idp_secret)
      t.same(requests, [])
    }
  }
})

t.test('how long a token lives is said by the file where no answer does, whatever the grant', async (t) => {
  const authorization_server = {
    ...{ token_endpoint: 'https://auth.example/token', client_id: 'c', lifetime_seconds: 60 },
    device_authorization_endpoint: 'https://auth.example/device',
  }
  const told = { kind: 'tokens', tokens: { expiresAt: NOW + 60_000 } }
  const silent = json({ access_token: 'a' })
  const files: Partial<ProviderFile>[] = [
    {
      credential: 'client_credentials',
      authorization_server: { ...authorization_server, client_secret: 's' },
    },
    { credential: 'token_exchange', authorization_server, subject_token: 'text' },
    { credential: 'jwt_bearer', authorization_server, subject_token: 'text' },
    { credential: 'device_code', authorization_server },
  ]
  for (const file of files) {
    const { renewal, server, wire } = await renewed(t, [silent], file)
    t.match(renewal, told, String(file.credential))
    if (file.credential !== 'device_code') continue
    wire.answers = [silent]
    t.match(await pollDeviceCode(server(), 'code', undefined, () => NOW), told, 'its first one')
  }
})
