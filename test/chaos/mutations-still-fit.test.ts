/** What the mutations take out is there, once: else a gate would be tried on a broker that has nothing taken out. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { MUTATIONS as OF_GROWTH } from '../bench/fixtures/mutations.ts'
import { isThereOnce } from '../support/mutant.ts'
import { MUTATIONS as OF_FAULTS } from './fixtures/mutations.ts'

for (const { name, changes } of [...OF_FAULTS, ...OF_GROWTH])
  t.test(name, async (t) => {
    for (const { file, from } of changes) {
      const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
      t.ok(isThereOnce(text, from), `${file}: ${from.slice(0, 60)}`)
    }
  })
