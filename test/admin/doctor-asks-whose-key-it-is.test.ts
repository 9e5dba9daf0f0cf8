/** A key that is refused here and known at another region or plan of the same vendor. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { readConfig } from '../../src/settings/config.ts'
import { startBroker } from '../support/broker.ts'

const GOOD = 'sk-key-of-the-second-region-0123456789'

interface Region {
  readonly origin: string
  readonly server: Server
  /** Of the calls that came. */
  readonly keys: (string | undefined)[]
}

/** @param answers by key; to every other it answers as Model Studio does */
async function startRegion(t: Test, answers: Record<string, [number, object]> = {}): Promise<Region> {
  const keys: (string | undefined)[] = []
  const server = createServer((request, response) => {
    request.resume()
    const key = request.headers.authorization?.replace('Bearer ', '')
    keys.push(key)
    const unknown: [number, object] = [
      401,
      {
        error: {
          message: 'Incorrect API key provided.',
          type: 'invalid_request_error',
          code: 'invalid_api_key',
        },
      },
    ]
    const [status, body] = answers[key ?? ''] ?? unknown
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, keys }
}

async function startRegions(t: Test, answers: Record<string, [number, object]>) {
  const [first, second, plan, own] = [
    await startRegion(t),
    await startRegion(t, answers),
    await startRegion(t),
    await startRegion(t),
  ]
  const file = (name: string, { origin }: Region, api_key: object) => `
  ${name}:
    label: ${name} of a vendor
    help_url: https://vendor.example/${name}
    credential: api_key
    upstream: { base_url: "${origin}/v1" }
    api_key: ${JSON.stringify(api_key)}`
  const broker = await startBroker(t, {
    config: `allow_insecure_loopback: true
providers:${file('first', first, { prefix: 'sk-', not: 'sk-sp-', sisters: ['second', 'plan'] })}${file('second', second, { prefix: 'sk-', not: 'sk-sp-', sisters: ['first', 'plan'] })}${file('plan', plan, { prefix: 'sk-sp-', sisters: ['first', 'second'] })}
`,
  })
  let count = 0
  const diagnose = async (fields: object) => {
    count += 1
    const config = { name: `c${count}`, models: [{ model_id: 'm' }], ...fields }
    const { id } = (await broker.admin('POST', '/api/models/configs', config)).body
    return (await broker.admin('POST', `/api/models/configs/${id}/diagnose`)).body
  }
  return { first, second, plan, own, diagnose }
}

const TAKEN: Record<string, [number, object]> = {
  'a completion': [200, { choices: [] }],
  'no such model there': [404, { error: { code: 'model_not_found' } }],
  arrears: [400, { error: { code: 'Arrearage' } }],
  'the free quota is over': [403, { code: 'AllocationQuota.FreeTierOnly' }],
  'not for this workspace': [403, { code: 'Model.AccessDenied' }],
}

t.test('the region that knows the key is named, whatever else it says', async (t) => {
  for (const [seen, answer] of Object.entries(TAKEN)) {
    const { diagnose, plan } = await startRegions(t, { [GOOD]: answer })
    const found = await diagnose({ provider: 'first', api_key: GOOD })
    t.match(found, { ok: false, code: 'wrong_plan', upstream_status: 401, help_url: null }, seen)
    t.match(found, {
      advice: /second of a vendor.*provider second/,
      advice_zh: /second of a vendor.*提供方 second/,
    })
    t.match(found.checks.at(-1), {
      name: 'sisters',
      ok: true,
      detail: /second: takes the key/,
      detail_zh: /second: 接受/,
    })
    t.notMatch(JSON.stringify(found), /sk-key-of/)
    t.same(plan.keys, [], 'a plan whose keys look otherwise is not asked')
  }
})

t.test('a key that nobody knows is a wrong key, with the page where keys are made', async (t) => {
  const { diagnose, second } = await startRegions(t, {})
  const found = await diagnose({ provider: 'first', api_key: 'sk-nobody-knows-this-one-0123456789' })
  t.match(found, { ok: false, code: 'wrong_key', help_url: 'https://vendor.example/first' })
  t.match(found.checks.at(-1), { name: 'sisters', ok: false, detail: 'second: does not know it either' })
  t.equal(second.keys.length, 1)
})

t.test('a region that is away, or says nothing of the key, proves nothing', async (t) => {
  const { diagnose, second } = await startRegions(t, {
    [GOOD]: [429, { error: { code: 'Throttling.RateQuota' } }],
  })
  const asked = await diagnose({ provider: 'first', api_key: GOOD })
  t.match(asked, { code: 'wrong_key' })
  t.match(asked.checks.at(-1), { detail: 'second: did not say', detail_zh: 'second: 未能确认' })
  second.server.close()
  second.server.closeAllConnections()
  t.match(await diagnose({ provider: 'first', api_key: GOOD }), { code: 'wrong_key' })
})

t.test('an address that a provider file names is the vendor’s under any provider', async (t) => {
  const { diagnose, first } = await startRegions(t, { [GOOD]: [200, { choices: [] }] })
  const found = await diagnose({ provider: 'openai', base_url: `${first.origin}/v1`, api_key: GOOD })
  t.match(found, { code: 'wrong_plan', advice: /provider second/ })
})

t.test('a key for a server of one’s own goes nowhere else', async (t) => {
  const { diagnose, own, second } = await startRegions(t, { [GOOD]: [200, { choices: [] }] })
  const found = await diagnose({ provider: 'first', base_url: `${own.origin}/v1`, api_key: GOOD })
  t.match(found, { code: 'wrong_key' })
  t.same(second.keys, [])
  t.notOk(found.checks.some(({ name }: { name: string }) => name === 'sisters'))
})

t.test('the shipped regions and plans know each other, and each says where its keys are made', async (t) => {
  const { providers } = readConfig({})
  const family = [...providers.values()].filter(({ upstream }) => upstream.baseUrl?.includes('dashscope'))
  t.equal(family.length, 6)
  for (const { name, apiKey, helpUrl, errors } of family) {
    const others = family.map((one) => one.name).filter((one) => one !== name)
    t.same([...apiKey.sisters].sort(), others.sort(), name)
    t.match(helpUrl, /^https:\/\/(bailian|modelstudio)\.console\./, name)
    t.ok(errors.quota.has('AllocationQuota.FreeTierOnly'), name)
  }
})
