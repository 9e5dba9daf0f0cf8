/** A fresh broker's first config and key, although the database has bad moments or another replica is faster. */
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { enrolSandbox } from '../../src/sandbox/enrol.ts'
import { ADMIN_TOKEN, startBroker } from '../support/broker.ts'
import { onMysql } from '../support/databases.ts'

type Fate = 'refused' | 'answer lost'

/** Stands before a broker and answers one call 503: before the broker heard of it, or after it carried it out. */
async function before(t: Test, origin: string, index: number, fate: Fate) {
  let calls = 0
  const server = createServer((incoming, answer) => {
    calls += 1
    const isIll = calls === index
    const busy = () => answer.writeHead(503, { 'retry-after': '0' }).end('{"code":"storage_unavailable"}')
    if (isIll && fate === 'refused') return void busy()
    const { method, url, headers } = incoming
    const onward = request(origin + url, { method, headers, agent: false }, (theirs) => {
      if (isIll) theirs.resume().once('end', busy)
      else theirs.pipe(answer.writeHead(theirs.statusCode ?? 0, theirs.headers))
    })
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls: () => calls }
}

for (const fate of ['refused', 'answer lost'] as const) {
  t.test(`each call in its turn answered 503: ${fate}`, async (t) => {
    let index = 1
    for (let calls = Number.POSITIVE_INFINITY; index <= calls; index += 1) {
      const broker = await startBroker(t)
      const way = await before(t, broker.origin, index, fate)
      const enrolment = await enrolSandbox(way.address, ADMIN_TOKEN, broker.sandbox)
      t.match(enrolment, { key: /^sk-tb-/ }, `call ${index}`)
      t.equal((await broker.admin('GET', '/api/models/configs')).body.total, 1)
      calls = way.calls() - 1
      await broker.close()
    }
    t.ok(index > 5)
  })
}

onMysql(t, 'replicas that start together on an empty database', async (t, { url }) => {
  const first = await startBroker(t, { databaseUrl: url })
  const second = await startBroker(t, { databaseUrl: url, shared: first.sandbox })
  for (let round = 0; round < 2; round += 1) {
    const enrolled = await Promise.all(
      [first, second, first, second].map(({ origin }) => enrolSandbox(origin, ADMIN_TOKEN, first.sandbox)),
    )
    t.equal(enrolled.filter((one) => one !== undefined).length, 1)
    const { body } = await first.admin('GET', '/api/models/configs')
    t.equal(body.total, 1)
    await first.admin('DELETE', `/api/models/configs/${body.items[0].id}`)
    for (const { id } of (await first.admin('GET', '/api/keys')).body.items)
      await first.admin('DELETE', `/api/keys/${id}`)
  }
})
