/** Of one vendor each provider file has a place of its own, in both languages, and says what of the environment it lacks. */
import t from 'tap'
import { readConfig } from '../../src/settings/config.ts'
import { startBroker } from '../support/broker.ts'

const DATA_DIR = t.testdir()
const shipped = [...readConfig({ DATA_DIR }).providers.values()]

for (const language of ['english', 'chinese'] as const) {
  t.test(`no two files of a vendor are shown alike, ${language}`, async (t) => {
    const places = shipped.map(({ vendor, variant, kind, region }) =>
      [vendor[language], variant?.[language] ?? kind, region?.[language] ?? ''].join('|'),
    )
    t.same(
      places.filter((place, at) => places.indexOf(place) !== at),
      [],
    )
  })
}

t.test('a vendor is called alike in all of its files', async (t) => {
  const names = new Map(shipped.map(({ vendor }) => [vendor.english, vendor.chinese]))
  for (const { name, vendor } of shipped) t.equal(vendor.chinese, names.get(vendor.english), name)
})

t.test('variables that a file reads are named while they are not set', async (t) => {
  const lacking = (env: Record<string, string>) =>
    readConfig({ DATA_DIR, ...env }).providers.get('openai-federated')?.missingVariables
  t.same(lacking({}), ['SUBJECT_TOKEN_FILE'])
  t.same(lacking({ SUBJECT_TOKEN_FILE: '/run/token' }), [])
  t.same(shipped.find(({ name }) => name === 'bedrock-key')?.missingVariables, [], 'a default is no need')
})

t.test('the list of providers tells all of it', async (t) => {
  const broker = await startBroker(t)
  const { items } = (await broker.admin('GET', '/api/providers')).body
  const of = (wanted: string) => items.find(({ name }: { name: string }) => name === wanted)
  t.match(of('dashscope-hk'), {
    vendor: 'Alibaba Cloud Model Studio',
    vendor_zh: '阿里云百炼',
    variant: null,
    region: 'Hong Kong',
    region_zh: '中国香港',
    missing_variables: [],
  })
  t.match(of('anthropic-federated'), { variant: 'Workload identity', variant_zh: '工作负载身份' })
  t.match(of('deepseek'), { vendor: 'DeepSeek', variant: null, region: null })
})
