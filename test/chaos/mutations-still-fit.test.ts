/** What the mutations take out is there, once: else a gate would be tried on a broker that has nothing taken out. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { MUTATIONS } from './fixtures/mutations.ts'

for (const { name, changes } of MUTATIONS)
  t.test(name, async (t) => {
    for (const { file, from } of changes) {
      const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
      t.equal(text.split(from).length, 2, `${file}: ${from.slice(0, 60)}`)
    }
  })
