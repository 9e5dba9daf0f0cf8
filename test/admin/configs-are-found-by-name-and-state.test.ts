import t from 'tap'
import { startBroker } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'

onEachDatabase(t, 'by part of a name in any case, by state, and both', async (t, { url }) => {
  const broker = await startBroker(t, { databaseUrl: url })
  await broker.connect('Production 100%')
  for (const name of ['staging_eu', 'stagingXeu', 'Produktion!']) {
    await broker.admin('POST', '/api/models/configs', { name, provider: 'sandbox', models: [] })
  }
  const names = async (query: string) => {
    const { body } = await broker.admin('GET', `/api/models/configs?${query}`)
    return body.items.map((item: { name: string }) => item.name)
  }
  t.same(await names('q=prod'), ['Production 100%', 'Produktion!'])
  t.same(await names('q=0%25'), ['Production 100%'], '% is itself')
  t.same(await names('q=staging_'), ['staging_eu'], '_ is itself')
  t.same(await names('q=!'), ['Produktion!'])
  t.same(await names('state=missing,reauth_required'), ['staging_eu', 'stagingXeu', 'Produktion!'])
  t.same(await names('state=active&q=o'), ['Production 100%'])
  t.match((await broker.admin('GET', '/api/models/configs?state=missing&page_size=1')).body, {
    total: 3,
    items: [{}],
  })
})

t.test('the form learns what there is to connect to', async (t) => {
  const broker = await startBroker(t)
  const { body } = await broker.admin('GET', '/api/providers')
  t.match(
    body.items.find((item: { name: string }) => item.name === 'qwen'),
    {
      label: 'Qwen OAuth',
      credential: 'device_code',
      base_url: 'https://portal.qwen.ai/v1',
      models: ['coder-model'],
    },
  )
})
