/** A provider file that needs values of its operator's is no ready provider, and says what to write. */
import t from 'tap'
import { parse } from 'yaml'
import { readConfig } from '../../src/settings/config.ts'
import { startBroker } from '../support/broker.ts'

const providers = () => readConfig({ DATA_DIR: t.testdir() }).providers

t.test('of those that come along: exactly the templates', async (t) => {
  const templates = [...providers().values()].filter(({ missingLines }) => missingLines !== undefined)
  t.same(templates.map(({ name }) => name).sort(), ['entra-id', 'huggingface', 'openai-x509'])
})

t.test(
  'the lines are YAML for CONFIG_FILE: written there, with values of yours, nothing is missing',
  async (t) => {
    for (const { name, missingLines } of providers().values()) {
      if (missingLines === undefined) continue
      t.same(Object.keys(parse(missingLines)), ['providers'])
      t.same(Object.keys(parse(missingLines).providers), [name])
      t.notMatch(missingLines, 'invalid')
      const CONFIG_FILE = `${t.testdir({ 'own.yaml': missingLines })}/own.yaml`
      const made = readConfig({ DATA_DIR: t.testdirName, CONFIG_FILE }).providers.get(name)
      t.ok(made)
      t.equal(made?.missingLines, undefined, name)
    }
  },
)

t.test('what is there already is not asked for again', async (t) => {
  const upstream = '{ base_url: "https://models.example.com/v1" }'
  const config = `providers: { entra-id: { upstream: ${upstream} } }`
  const CONFIG_FILE = `${t.testdir({ 'own.yaml': config })}/own.yaml`
  const entra = readConfig({ DATA_DIR: t.testdirName, CONFIG_FILE }).providers.get('entra-id')
  t.same(parse(entra?.missingLines ?? ''), {
    providers: { 'entra-id': { authorization_server: { client_id: 'your-application-id' } } },
  })
})

t.test('the list of providers tells, and which of them serve completions', async (t) => {
  const broker = await startBroker(t)
  const { config_file, items } = (await broker.admin('GET', '/api/providers')).body
  t.equal(config_file, null)
  const of = (wanted: string) => items.find(({ name }: { name: string }) => name === wanted)
  t.match(of('entra-id').missing_lines, /client_id: your-application-id/)
  t.match(of('qwen'), { missing_lines: null, serves_completions: true, help_url: /^https:/ })
  t.match(of('qwen-chat'), { missing_lines: null, serves_completions: false })
})
