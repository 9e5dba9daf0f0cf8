/** package.json, the OpenAPI page and the newest entry of CHANGELOG.md name one version. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { startBroker } from '../support/broker.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

t.test('one version', async (t) => {
  const { version } = JSON.parse(read('package.json'))
  const broker = await startBroker(t)
  const answer = await fetch(`${broker.origin}/openapi.json`)
  const page = (await answer.json()) as { info: { version: string } }
  t.equal(page.info.version, version)
  t.equal(/^## (\S+)/m.exec(read('CHANGELOG.md'))?.[1], version)
})
