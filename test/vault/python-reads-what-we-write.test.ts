/** Against Python's `cryptography`, whose authors wrote the Fernet specification. */
import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { FernetKey, generateFernetKey } from '../../src/vault/fernet.ts'
import { testWhere } from '../support/test-where.ts'

/** Debian's package belongs to Debian's Python; another one may come first on the PATH. */
const PYTHON = ['/usr/bin/python3', 'python3'].find((binary) => python(binary, 'import cryptography').ok)
const MISSING = "Python's cryptography is not here: apt-get install python3-cryptography"
const TEXTS = ['', 'a', 'sk-broker-0123456789', '请重新登录', 'x'.repeat(16), 'y'.repeat(4_096)]

function python(binary: string, script: string, input: unknown = null) {
  const { status, stdout, stderr } = spawnSync(binary, ['-c', script], {
    input: JSON.stringify(input),
    encoding: 'utf8',
  })
  return { ok: status === 0, stdout, stderr }
}

const HEAD = 'import json, sys\nfrom cryptography.fernet import Fernet\nkey, values = json.load(sys.stdin)\n'

function inPython(expression: string, key: string, values: readonly string[]): string[] {
  const script = `${HEAD}print(json.dumps([${expression} for value in values]))`
  const { ok, stdout, stderr } = python(PYTHON as string, script, [key, values])
  if (!ok) throw new Error(stderr)
  return JSON.parse(stdout) as string[]
}

function withPython(name: string, body: (t: Test) => void): void {
  testWhere(t, { name, missing: PYTHON === undefined ? MISSING : undefined }, body)
}

withPython('Python opens what we sealed', (t) => {
  const key = generateFernetKey()
  const sealed = TEXTS.map((text) => new FernetKey(key).encrypt(text))
  t.same(inPython('Fernet(key).decrypt(value.encode()).decode()', key, sealed), TEXTS)
})

withPython('we open what Python sealed', (t) => {
  const key = generateFernetKey()
  const sealed = inPython('Fernet(key).encrypt(value.encode()).decode()', key, TEXTS)
  t.same(
    sealed.map((value) => new FernetKey(key).decrypt(value)),
    TEXTS,
  )
})

withPython('a key that Python made is a key', (t) => {
  const [key = ''] = inPython('Fernet.generate_key().decode()', generateFernetKey(), [''])
  t.equal(new FernetKey(key).decrypt(new FernetKey(key).encrypt('same')), 'same')
})
