/**
 * The short form of gate F7. `FUZZ_COUNT` says how many requests, `FUZZ_SEED` which ones.
 */
import t, { type Test } from 'tap'
import { ask, rawExchange } from '../gateway/fixtures/client.ts'
import { addConfig, json, setUp, startUpstream, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'
import { Grammar } from './fixtures/malformed-request.ts'

const COUNT = Number(process.env['FUZZ_COUNT'] ?? 500)
const SEED = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
const AT_ONCE = 10

async function setUpTargets(t: Test) {
  const setup = await setUp(t)
  setup.upstream.answer((request, response) => {
    request.resume()
    json(response, { ok: true })
  })
  const elsewhere = await startUpstream(t)
  const configId = await addConfig(setup.broker, { name: 'plaything' })
  return { ...setup, elsewhere, configId }
}

t.test(`${COUNT} malformed requests of seed ${SEED}`, { timeout: 120_000 + COUNT * 100 }, async (t) => {
  const { broker, upstream, elsewhere, key, configId, v1 } = await setUpTargets(t)
  const { adminToken } = broker
  const known = { key, adminToken, configId, elsewhere: new URL(elsewhere.origin).host }
  const grammar = new Grammar(SEED, known)
  const secrets = [UPSTREAM_KEY, adminToken, key.slice(6)]
  const statuses = new Map<string, number>()
  const failures: string[] = []

  const sendOne = async () => {
    const bytes = grammar.request()
    const answer = await rawExchange(broker.origin, bytes, 250)
    const asHex = () => `seed ${SEED}: ${bytes.subarray(0, 2_000).toString('latin1')}`
    for (const [, status = ''] of answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      const isPromised = answer.includes('device_authorization_failed')
      if (status === '500' && !isPromised) failures.push(`500: ${asHex()}`)
    }
    for (const secret of secrets)
      if (answer.includes(secret)) failures.push(`a secret: ${asHex()}\n${answer}`)
  }
  for (let sent = 0; sent < COUNT; sent += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, COUNT - sent) }, sendOne))
    const good = await ask(`${v1}/chat/completions`, { key, body: { model: 'model-a' } })
    if (good.status !== 200) failures.push(`the next good call: ${good.status} after ${sent} of seed ${SEED}`)
    if (failures.length > 0) break
  }

  t.same(failures, [])
  const tally = [...statuses].sort().map(([status, count]) => `${count} × ${status}`)
  t.comment(`seed ${SEED}: ${tally.join(', ')}`)
  t.ok((statuses.get('200') ?? 0) > COUNT / 50, 'some of them were good enough')
  t.ok((statuses.get('400') ?? 0) > COUNT / 50, 'most of them were not')
  t.equal(elsewhere.calls.length, 0, 'nobody else was called')
  for (const { url = '', headers, rawHeaders } of upstream.calls) {
    const isIn = /^\/base\/v1(?:[/?]|$)/.test(url) && headers.authorization === `Bearer ${UPSTREAM_KEY}`
    if (!isIn || rawHeaders.join().includes(key.slice(6))) t.fail(`${url} ${rawHeaders.join()}`)
  }
  for (const secret of secrets) t.notOk(broker.log.join('').includes(secret), 'no secret in the log')
  t.equal((await broker.admin('GET', '/api/models/configs')).status, 200)
  t.equal(Reflect.get({}, 'isAdmin'), undefined)
})
