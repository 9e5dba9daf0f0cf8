import { inspect } from 'node:util'
import t from 'tap'
import { mask, Secret } from '../../src/base/secret.ts'

const VALUE = 'correct-horse-battery-staple'

t.test('however a secret is printed, only a mask shows', async (t) => {
  const secret = new Secret(VALUE)
  const printed = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect(secret),
    inspect({ deep: [secret] }, { depth: 9, showHidden: true }),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify(Object.getOwnPropertyNames(secret)),
    JSON.stringify(structuredClone({ ...secret })),
  ]
  for (const text of printed) t.notMatch(text, VALUE)
  t.equal(printed[0], '[secret]')
  t.equal(secret.reveal(), VALUE)
})

t.test('a mask shows the first 8 and the last 4 characters, of long values only', async (t) => {
  t.equal(mask('abcdefgh-ijklmnop-qrstuv'), 'abcdefgh…stuv')
  for (const short of ['', 'a', 'x'.repeat(12), 'x'.repeat(23)]) t.equal(mask(short), '…')
})
