/** What the build has proved of a shipped file is made when it is asked for, unless something of this environment counts for it. */
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { LazyMap } from '../../src/base/lazy-map.ts'
import type { Provider } from '../../src/provider/provider.ts'
import { readConfig } from '../../src/settings/config.ts'

t.test('a start makes few of them, and whoever asks gets each', async (t) => {
  const providers = readConfig({ DATA_DIR: t.testdir() }).providers as LazyMap<string, Provider>
  t.ok(providers.size > 40)
  t.ok(providers.made().length < 10, `${providers.made().length} were made`)
  for (const [name, provider] of providers) t.equal(provider.name, name)
})

t.test('what the environment says is heard at the start', async (t) => {
  const DATA_DIR = t.testdir({ secret: 'of all' })
  const AZURE_CLIENT_SECRET_FILE = join(DATA_DIR, 'secret')
  chmodSync(AZURE_CLIENT_SECRET_FILE, 0o644)
  const { warnings } = readConfig({ DATA_DIR, AZURE_CLIENT_SECRET_FILE })
  t.ok(warnings.some(({ setting }) => setting === 'AZURE_CLIENT_SECRET_FILE'))
})
