import t from 'tap'
import { type DeviceAuthorization, requestDeviceAuthorization } from '../../src/oauth/device-authorization.ts'
import { authorizationServerAt, type Scripted, startScriptedServer } from './fixtures/scripted-server.ts'

const URI = 'https://auth.example/device'
const ANSWER = {
  device_code: 'code',
  user_code: 'AB-CD',
  verification_uri: URI,
  expires_in: 600,
  interval: 7,
}
const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(ANSWER).filter(([name]) => !names.includes(name)))
const FORM = 'application/x-www-form-urlencoded'

const SHAPES: Record<string, [Scripted, Partial<DeviceAuthorization>?]> = {
  'as RFC 8628 has it': [{ body: ANSWER }],
  'status 201': [{ status: 201, body: ANSWER }],
  'status 202': [{ status: 202, body: ANSWER }],
  'a byte order mark': [{ body: `\ufeff${JSON.stringify(ANSWER)}` }],
  'UTF-16': [{ body: Buffer.from(`\ufeff${JSON.stringify(ANSWER)}`, 'utf16le') }],
  'a form': [
    {
      body: new URLSearchParams({ ...ANSWER, expires_in: '600', interval: '7' }).toString(),
      contentType: FORM,
    },
  ],
  'numbers as text': [{ body: { ...ANSWER, expires_in: '600', interval: ' 7 ' } }],
  fractions: [{ body: { ...ANSWER, expires_in: 599.5, interval: 6.5 } }, { expiresInSeconds: 599.5 }],
  'no expires_in': [{ body: without('expires_in') }, { expiresInSeconds: 900 }],
  'an expires_in of 0': [{ body: { ...ANSWER, expires_in: 0 } }, { expiresInSeconds: 900 }],
  'an expires_in below 0': [{ body: { ...ANSWER, expires_in: '-1' } }, { expiresInSeconds: 900 }],
  'an expires_in of words': [{ body: { ...ANSWER, expires_in: 'soon' } }, { expiresInSeconds: 900 }],
  'no interval': [{ body: without('interval') }, { intervalSeconds: 5 }],
  'an interval of null': [{ body: { ...ANSWER, interval: null } }, { intervalSeconds: 5 }],
  'an interval of words': [{ body: { ...ANSWER, interval: 'often' } }, { intervalSeconds: 5 }],
  'an interval of 0': [{ body: { ...ANSWER, interval: 0 } }, { intervalSeconds: 1 }],
  'an interval below a second, as text': [{ body: { ...ANSWER, interval: '0.2' } }, { intervalSeconds: 1 }],
  'an interval below 0': [{ body: { ...ANSWER, interval: -5 } }, { intervalSeconds: 1 }],
  'an interval of a day': [{ body: { ...ANSWER, interval: 86_400 } }, { intervalSeconds: 120 }],
  verification_url: [{ body: { ...without('verification_uri'), verification_url: URI } }],
  'a user code of digits': [
    { body: { ...ANSWER, user_code: 123_456 } },
    { userCode: '123456', verificationUriComplete: `${URI}?user_code=123456` },
  ],
  'a complete link': [
    { body: { ...ANSWER, verification_uri_complete: `${URI}/AB-CD` } },
    { verificationUriComplete: `${URI}/AB-CD` },
  ],
  'a complete link that is a script': [
    { body: { ...ANSWER, verification_uri_complete: 'javascript:alert(1)' } },
  ],
}

t.test('a device code is found in every shape of a good answer', async (t) => {
  const server = await startScriptedServer(t)
  const client = authorizationServerAt(server.origin)
  const usual = {
    deviceCode: 'code',
    userCode: 'AB-CD',
    verificationUri: URI,
    verificationUriComplete: `${URI}?user_code=AB-CD`,
    expiresInSeconds: 600,
    intervalSeconds: 7,
    codeVerifier: /^[\w-]{43}$/,
  }
  for (const [shape, [answer, differs]] of Object.entries(SHAPES)) {
    server.script(answer)
    t.match(await requestDeviceAuthorization(client), { ...usual, ...differs }, shape)
  }
})

t.test('what is no device code says why', async (t) => {
  const server = await startScriptedServer(t)
  const client = authorizationServerAt(server.origin)
  const failures: [Scripted, RegExp][] = [
    [{ status: 200, body: { ...ANSWER, error: { code: 'invalid_client' } } }, /^invalid_client at 200/],
    [{ status: 403, body: { errors: ['unauthorized_client'] } }, /^unauthorized_client at 403/],
    [{ status: 500, body: ANSWER }, /^status 500/],
    [{ status: 302, body: ANSWER, headers: { location: '/' } }, /^status 302/],
    [{ status: 200, body: '<html>' }, /no JSON object/],
    [{ body: without('device_code') }, /without the fields/],
    [{ body: without('user_code') }, /without the fields/],
    [{ body: without('verification_uri') }, /without the fields/],
    [{ body: { ...ANSWER, verification_uri: 'javascript:alert(1)' } }, /without the fields/],
    [{ body: { ...ANSWER, verification_uri: 'https://login.example@evil.example/' } }, /without the fields/],
    [{ body: { ...ANSWER, verification_uri: 'https://:x@evil.example/' } }, /without the fields/],
  ]
  for (const [answer, why] of failures) {
    server.script(answer)
    t.match(await requestDeviceAuthorization(client), { failure: why }, JSON.stringify(answer))
  }
})
