import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { Compile } from 'typebox/compile'
import { parse } from 'yaml'
import { PROVIDER_SCHEMA_FILE, providerSchema } from '../../src/provider/provider-schema.ts'

const PROVIDERS = new URL('providers/', PROVIDER_SCHEMA_FILE)

t.test('config/provider.schema.json says what the broker checks', async (t) => {
  const written = JSON.parse(readFileSync(PROVIDER_SCHEMA_FILE, 'utf8'))
  t.same(written, JSON.parse(JSON.stringify(providerSchema())), 'if not: npm run schema')
})

t.test('every shipped file fits it as it stands, and names it', async (t) => {
  const schema = Compile(providerSchema())
  for (const name of readdirSync(PROVIDERS)) {
    const text = readFileSync(new URL(name, PROVIDERS), 'utf8')
    t.same(schema.Errors(parse(text)), [], name)
    t.match(text, /^# yaml-language-server: \$schema=\.\.\/provider\.schema\.json$/m, name)
  }
})
