import t from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import { Secret } from '../../src/base/secret.ts'
import { FernetKey, generateFernetKey } from '../../src/vault/fernet.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'

const [OLD, NEW] = [generateFernetKey(), generateFernetKey()]

function ring(...keys: string[]): KeyRing {
  return new KeyRing(keys.map((key) => new Secret(key)))
}

t.test('the first key seals, all open', async (t) => {
  const before = ring(OLD).seal('token')
  const rotating = ring(NEW, OLD)
  const after = rotating.seal('token')
  t.equal(rotating.open(before), 'token')
  t.equal(rotating.open(after), 'token')
  t.equal(new FernetKey(NEW).decrypt(after), 'token', 'sealed by the new key')
  t.equal(rotating.isCurrent(after), true)
  t.equal(rotating.isCurrent(before), false, 'still to be sealed anew')
  t.equal(ring(NEW).open(rotating.seal(rotating.open(before))), 'token', 'then the old key may go')
})

t.test('what no key opens is an error without the value', async (t) => {
  const sealed = ring(OLD).seal('a-very-secret-token')
  for (const text of [sealed, 'a-very-secret-token', '']) {
    try {
      ring(NEW).open(text)
      t.fail('opened')
    } catch (error) {
      t.ok(error instanceof BrokerError)
      t.equal((error as BrokerError).code, 'decryption_failed')
      t.notMatch(JSON.stringify([String(error), (error as BrokerError).detail]), /a-very-secret-token|gAAAA/)
    }
  }
})

t.test('a ring needs a key', async (t) => {
  t.throws(() => ring(), TypeError)
})
