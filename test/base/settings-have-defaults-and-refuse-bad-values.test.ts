import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError, type Environment, readSettings } from '../../src/base/settings.ts'
import { FernetKey, generateFernetKey } from '../../src/vault/fernet.ts'

/** @returns the one line that stopped the start */
function refusal(t: Test, env: Environment): string {
  try {
    readSettings(env)
  } catch (error) {
    t.ok(error instanceof ConfigError, 'a ConfigError')
    const { message } = error as Error
    t.notMatch(message, /\n/, 'one line')
    return message
  }
  t.fail(`accepted: ${JSON.stringify(env)}`)
  return ''
}

const LONG_TOKEN = 'a'.repeat(32)

t.test('an empty environment is a complete one', async (t) => {
  const { encryptionKeys, ...settings } = readSettings({})
  t.same(settings, {
    host: '127.0.0.1',
    port: 8787,
    dataDir: resolve('./data'),
    mysqlUrl: undefined,
    usesBuiltInEncryptionKey: true,
    adminToken: undefined,
    configFile: undefined,
    corsOrigins: [],
    trustedProxies: [],
    logLevel: 'info',
    shutdownGraceSeconds: 600,
    workers: 1,
    isProduction: false,
  })
  const [builtIn] = encryptionKeys
  t.equal(encryptionKeys.length, 1)
  const key = new FernetKey(builtIn?.reveal() ?? '')
  t.equal(key.decrypt(key.encrypt('works')), 'works', 'the built-in key is a valid one')
})

t.test('each setting is read', async (t) => {
  const [first, second] = [generateFernetKey(), generateFernetKey()]
  const settings = readSettings({
    HOST: '0.0.0.0',
    PORT: '0',
    DATA_DIR: '/tmp/somewhere',
    DATABASE_URL: 'mysql://user:p%40ss@db:3307/name?ssl=true',
    TOKEN_ENCRYPTION_KEY: `${first}, ${second}`,
    ADMIN_TOKEN: LONG_TOKEN,
    CONFIG_FILE: 'own.yaml',
    CORS_ORIGINS: 'https://app.example.com, http://localhost:3000',
    TRUSTED_PROXIES: '10.0.0.0/8, 192.168.1.1,2001:db8::/32,',
    LOG_LEVEL: 'silent',
    SHUTDOWN_GRACE_SECONDS: '0',
    WORKERS: '4',
    NODE_ENV: 'production',
  })
  t.match(settings, {
    host: '0.0.0.0',
    port: 0,
    dataDir: '/tmp/somewhere',
    usesBuiltInEncryptionKey: false,
    configFile: resolve('own.yaml'),
    corsOrigins: ['https://app.example.com', 'http://localhost:3000'],
    trustedProxies: ['10.0.0.0/8', '192.168.1.1', '2001:db8::/32'],
    logLevel: 'silent',
    shutdownGraceSeconds: 0,
    workers: 4,
    isProduction: true,
  })
  t.equal(settings.mysqlUrl?.reveal(), 'mysql://user:p%40ss@db:3307/name?ssl=true')
  t.equal(settings.adminToken?.reveal(), LONG_TOKEN)
  t.same(
    settings.encryptionKeys.map((key) => key.reveal()),
    [first, second],
  )
  t.equal(readSettings({ DATABASE_URL: 'sqlite:' }).mysqlUrl, undefined)
})

t.test('a bad value is refused with the name of its setting, never with the value', async (t) => {
  const bad: Record<string, string[]> = {
    HOST: [''],
    PORT: ['', 'http', '-1', '65536', '80.5', '0x50', '1e3', ' 80'],
    DATABASE_URL: [
      '',
      'postgres://hunter2@db/name',
      'mysql://hunter2@db',
      'mysql:///name-hunter2',
      'hunter2',
      'sqlite:/hunter2.db',
    ],
    TOKEN_ENCRYPTION_KEY: [
      '',
      ' ',
      'hunter2',
      `${generateFernetKey()},hunter2`,
      `${generateFernetKey()},`,
      generateFernetKey().slice(0, -1),
      `${'+'.repeat(43)}=`,
    ],
    ADMIN_TOKEN: ['', '   '],
    CORS_ORIGINS: ['*', 'hunter2', 'https://app.example.com/', 'https://hunter2@app.example.com', 'null'],
    TRUSTED_PROXIES: [
      'true',
      '1',
      '0.0.0.0/0',
      '::/0',
      '172.16.0.0/33',
      '172.16.0.0/',
      '172.16.0.0/12/12',
      '300.0.0.1',
      'loopback',
      '172.16.0.0/12,true',
      '::1/129',
    ],
    LOG_LEVEL: ['', 'INFO', 'verbose'],
    SHUTDOWN_GRACE_SECONDS: ['', '-1', 'ten', '86401'],
    WORKERS: ['', '0', '257', 'auto'],
  }
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      const line = refusal(t, { [name]: value })
      t.ok(line.startsWith(name), `${name}=${value}: ${line}`)
      // Short values such as "1" turn up in any line; a long one has no business there.
      if (value.trim().length > 6) t.notOk(line.includes(value), 'without the value')
      t.notMatch(line, 'hunter2')
    }
  }
})

t.test('secrets may come from files', async (t) => {
  const dir = t.testdir({ plain: `${LONG_TOKEN}\n`, empty: '\n', url: 'mysql://u:p@db/name\r\n' })
  const file = (name: string) => join(dir, name)
  const key = generateFernetKey()
  writeFileSync(file('key'), key)
  const settings = readSettings({
    ADMIN_TOKEN_FILE: file('plain'),
    DATABASE_URL_FILE: file('url'),
    TOKEN_ENCRYPTION_KEY_FILE: file('key'),
  })
  t.equal(settings.adminToken?.reveal(), LONG_TOKEN, 'without the final line break')
  t.equal(settings.mysqlUrl?.reveal(), 'mysql://u:p@db/name')
  t.equal(settings.encryptionKeys[0]?.reveal(), key)

  t.match(refusal(t, { ADMIN_TOKEN_FILE: file('empty') }), /^ADMIN_TOKEN is empty/)
  t.match(refusal(t, { ADMIN_TOKEN_FILE: file('missing') }), /^ADMIN_TOKEN_FILE cannot be read \(ENOENT\)$/)
  t.match(refusal(t, { ADMIN_TOKEN: LONG_TOKEN, ADMIN_TOKEN_FILE: file('plain') }), /both set/)
})

t.test('other machines may reach it only with an admin token that cannot be guessed', async (t) => {
  for (const HOST of ['0.0.0.0', '::', '192.168.0.7', 'broker.internal']) {
    t.match(refusal(t, { HOST }), /^ADMIN_TOKEN must be set/)
    t.match(refusal(t, { HOST, ADMIN_TOKEN: 'a'.repeat(31) }), /^ADMIN_TOKEN must have at least 32/)
    t.equal(readSettings({ HOST, ADMIN_TOKEN: LONG_TOKEN }).host, HOST)
  }
  for (const HOST of ['127.0.0.1', '::1', 'localhost']) {
    t.equal(readSettings({ HOST, ADMIN_TOKEN: 'short' }).host, HOST)
  }
})

t.test('production does without the built-in encryption key, unless told otherwise', async (t) => {
  const NODE_ENV = 'production'
  t.match(refusal(t, { NODE_ENV }), /^TOKEN_ENCRYPTION_KEY must be set/)
  t.match(refusal(t, { NODE_ENV, ALLOW_DEFAULT_ENCRYPTION_KEY: '1' }), /^TOKEN_ENCRYPTION_KEY must be set/)
  t.equal(readSettings({ NODE_ENV, ALLOW_DEFAULT_ENCRYPTION_KEY: 'true' }).usesBuiltInEncryptionKey, true)
  t.equal(readSettings({ NODE_ENV, TOKEN_ENCRYPTION_KEY: generateFernetKey() }).isProduction, true)
})
