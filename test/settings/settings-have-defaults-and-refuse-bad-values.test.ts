import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { BUILT_IN_ENCRYPTION_KEY } from '../../src/base/encryption-keys.ts'
import { ConfigError, type Environment } from '../../src/base/environment.ts'
import { readSettings } from '../../src/settings/settings.ts'
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

const LONG_TOKEN = '0123456789abcdef'.repeat(2)

t.test('an empty environment is a complete one', async (t) => {
  const { encryptionKeys, ...settings } = readSettings({})
  t.same(settings, {
    host: '127.0.0.1',
    port: 8787,
    dataDir: resolve('./data'),
    mysqlUrl: undefined,
    usesBuiltInEncryptionKey: true,
    adminToken: undefined,
    allowsTokenReading: false,
    configFile: undefined,
    corsOrigins: [],
    trustedProxies: [],
    proxies: { forHttps: undefined, forHttp: undefined, noProxy: [] },
    logLevel: 'info',
    shutdownGraceSeconds: 600,
    resourceHomeDays: 30,
    workers: 1,
    isProduction: false,
    basePath: '',
    warnings: [],
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
    ALLOW_TOKEN_READING: 'true',
    CONFIG_FILE: 'own.yaml',
    CORS_ORIGINS: 'https://app.example.com, http://localhost:3000',
    TRUSTED_PROXIES: '10.0.0.0/8, 192.168.1.1,2001:db8::/32,',
    LOG_LEVEL: 'silent',
    SHUTDOWN_GRACE_SECONDS: '0',
    RESOURCE_HOME_DAYS: '7',
    WORKERS: '4',
    NODE_ENV: 'production',
  })
  t.match(settings, {
    host: '0.0.0.0',
    port: 0,
    dataDir: '/tmp/somewhere',
    usesBuiltInEncryptionKey: false,
    allowsTokenReading: true,
    configFile: resolve('own.yaml'),
    corsOrigins: ['https://app.example.com', 'http://localhost:3000'],
    trustedProxies: ['10.0.0.0/8', '192.168.1.1', '2001:db8::/32'],
    logLevel: 'silent',
    shutdownGraceSeconds: 0,
    resourceHomeDays: 7,
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
    ALLOW_TOKEN_READING: ['yes', '1', 'TRUE', 'hunter2'],
    CORS_ORIGINS: [
      ...[
        '*',
        'hunter2',
        'null',
        'https://app.example.com/hunter2',
        'https://hunter2@app.example.com',
        'app://',
      ],
      ...[
        'https://app.example.com//',
        'https://*.hunter2.example',
        'app://hunter2/x',
        'app://hunter2?',
        'file:///',
      ],
      ...['data:hunter2', 'https://app.example.com:hunter2', 'https://a.example,null'],
    ],
    PUBLIC_URL: [
      ...['', 'hunter2', 'ftp://hunter2.example', 'https://hunter2@a.example', 'https://a.example/?hunter2'],
      ...[
        'https://a.example/v1',
        'https://a.example/api/',
        'https://a.example/hunter%32',
        'https://a.example//hunter2',
      ],
    ],
    WEBHOOK_URL: ['', 'hunter2', 'ftp://hunter2.example/'],
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
      'fe80::1%eth0',
      '0.0.0.0/1',
      '128.0.0.0/1',
      '::/1',
      '8000::/1',
      '::/8',
      '::ffff:0:0/96',
      '::ffff:0:0/97',
      '0.0.0.0/2,64.0.0.0/2',
      '10.0.0.0/8,192.0.0.0/2,128.0.0.0/3,160.0.0.0/3',
      '2000::/3,4000::/2,6000::/3,8000::/2',
    ],
    LOG_LEVEL: ['', 'INFO', 'verbose'],
    SHUTDOWN_GRACE_SECONDS: ['', '-1', 'ten', '86401'],
    RESOURCE_HOME_DAYS: ['', '0', '1.5', '3651'],
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

t.test('less than half of all addresses may be trusted, however it is written', async (t) => {
  const good = [
    '0.0.0.0/2',
    '10.0.0.0/8,10.0.0.0/8,172.16.0.0/12',
    '::ffff:10.0.0.0/104',
    '2000::/3,fc00::/7',
    '::1',
  ]
  for (const networks of [...good, '0.0.0.0/2,10.0.0.0/8,0.0.0.0/3,63.0.0.0/8,64.0.0.0/3'])
    t.same(readSettings({ TRUSTED_PROXIES: networks }).trustedProxies, networks.split(','), networks)
})

t.test('origins are of any scheme; case and one slash at the end do not count', async (t) => {
  const given: [written: string, read: string[]][] = [
    ['https://APP.example.com/', ['https://app.example.com']],
    ['HTTPS://app.example.com:443,http://localhost:80/', ['https://app.example.com', 'http://localhost']],
    ['app://obsidian.md', ['app://obsidian.md']],
    ['tauri://localhost, capacitor://localhost/', ['tauri://localhost', 'capacitor://localhost']],
    [
      'chrome-extension://ABCdefghijklmnopabcdefghijklmnop',
      ['chrome-extension://abcdefghijklmnopabcdefghijklmnop'],
    ],
    ['vscode-webview://1a2b3c', ['vscode-webview://1a2b3c']],
    ['http://[::1]:3000', ['http://[::1]:3000']],
  ]
  for (const [written, read] of given)
    t.same(readSettings({ CORS_ORIGINS: written }).corsOrigins, read, written)
})

t.test('a public address may have a path', async (t) => {
  const given: [url: string, publicUrl: string, basePath: string][] = [
    ['https://corp.example/llm', 'https://corp.example/llm', '/llm'],
    ['https://corp.example/llm/', 'https://corp.example/llm', '/llm'],
    ['http://corp.example:8080/a/b-c', 'http://corp.example:8080/a/b-c', '/a/b-c'],
    ['https://corp.example/api/llm', 'https://corp.example/api/llm', '/api/llm'],
    ['https://corp.example', 'https://corp.example', ''],
    ['https://corp.example/', 'https://corp.example', ''],
  ]
  for (const [url, publicUrl, basePath] of given)
    t.match(readSettings({ PUBLIC_URL: url }), { publicUrl, basePath }, url)
})

t.test('what is one slip away from a setting is named, and nothing else', async (t) => {
  const warned = (env: Environment) =>
    readSettings(env).warnings.map(({ setting, message }) => `${setting}: ${message}`)
  const slips: [name: string, meant: string][] = [
    ['DATABSE_URL', 'DATABASE_URL'],
    ['DATABASE_ULR', 'DATABASE_URL'],
    ['DATABASES_URL', 'DATABASE_URL'],
    ['DATABASE-URL', 'DATABASE_URL'],
    ['TOKEN_ENCRYPTION_KEYS', 'TOKEN_ENCRYPTION_KEY'],
    ['ADMIN_TOKEN_FIEL', 'ADMIN_TOKEN_FILE'],
    ['CORS_ORIGIN', 'CORS_ORIGINS'],
    ['WORKER', 'WORKERS'],
    ['NO_PROXYS', 'NO_PROXY'],
    ['PROT', 'PORT'],
  ]
  for (const [name, meant] of slips) {
    t.same(
      warned({ [name]: 'canary' }),
      [`${name}: this is no setting and is not read; ${meant} is one`],
      name,
    )
  }
  const others = [
    'PATH',
    'HOSTNAME',
    'DATABASE_URL_OLD',
    'TOKEN',
    'ADMIN',
    'NODE_ENV',
    'PWD',
    'https_proxy',
    'LANG',
  ]
  t.same(warned(Object.fromEntries(others.map((name) => [name, '']))), [])
})

t.test('what is legal and yet unwise is named', async (t) => {
  const settings = (env: Environment) => readSettings(env).warnings.map(({ setting }) => setting)
  const WEBHOOK_SECRET = 'hunter2'
  t.same(settings({ WEBHOOK_SECRET, WEBHOOK_URL: 'http://hooks.example/x' }), ['WEBHOOK_URL'])
  for (const WEBHOOK_URL of [
    'https://hooks.example/x',
    'http://127.0.0.1:9/',
    'http://[::1]/',
    'http://localhost',
  ])
    t.same(settings({ WEBHOOK_SECRET, WEBHOOK_URL }), [], WEBHOOK_URL)
  const unverified = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  t.same(settings(unverified), ['NODE_TLS_REJECT_UNAUTHORIZED'])
  t.same(settings({ NODE_TLS_REJECT_UNAUTHORIZED: '1' }), [])
  const production = { NODE_ENV: 'production', TOKEN_ENCRYPTION_KEY: generateFernetKey() }
  t.match(refusal(t, { ...production, ...unverified }), /^NODE_TLS_REJECT_UNAUTHORIZED must not/)
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

  for (const written of ['\ufeffX', 'X\n\n', '\r\nX\r\n\r\n', '  X\t', '\ufeff\n X \n']) {
    writeFileSync(file('around'), written.replace('X', LONG_TOKEN))
    const { adminToken } = readSettings({ ADMIN_TOKEN_FILE: file('around') })
    t.equal(adminToken?.reveal(), LONG_TOKEN, JSON.stringify(written))
  }

  t.match(refusal(t, { ADMIN_TOKEN_FILE: file('empty') }), /^ADMIN_TOKEN is empty/)
  t.match(refusal(t, { ADMIN_TOKEN_FILE: file('missing') }), /^ADMIN_TOKEN_FILE cannot be read \(ENOENT\)$/)
  t.match(refusal(t, { ADMIN_TOKEN: LONG_TOKEN, ADMIN_TOKEN_FILE: file('plain') }), /both set/)
})

t.test('other machines may reach it only with an admin token that cannot be guessed', async (t) => {
  for (const HOST of ['0.0.0.0', '::', '192.168.0.7', 'broker.internal']) {
    t.match(refusal(t, { HOST }), /^ADMIN_TOKEN must be set/)
    for (const ADMIN_TOKEN of [LONG_TOKEN.slice(1), 'a'.repeat(32), '0'.repeat(100)])
      t.match(
        refusal(t, { HOST, ADMIN_TOKEN }),
        /^ADMIN_TOKEN must have at least 32 characters, not one repeated/,
      )
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
  const ALLOW_DEFAULT_ENCRYPTION_KEY = 'true'
  const own = generateFernetKey()
  const zero = `${'A'.repeat(43)}=`
  t.match(
    refusal(t, { NODE_ENV, TOKEN_ENCRYPTION_KEY: `default,${own}` }),
    /^TOKEN_ENCRYPTION_KEY must begin/,
  )
  t.match(
    refusal(t, { NODE_ENV, TOKEN_ENCRYPTION_KEY: BUILT_IN_ENCRYPTION_KEY }),
    /^TOKEN_ENCRYPTION_KEY must begin/,
  )
  t.match(
    refusal(t, { NODE_ENV, TOKEN_ENCRYPTION_KEY: `${zero},${own}`, ALLOW_DEFAULT_ENCRYPTION_KEY }),
    /^TOKEN_ENCRYPTION_KEY: the first key is all zeros/,
  )
  t.equal(readSettings({ NODE_ENV, TOKEN_ENCRYPTION_KEY: `${own}, ${zero}` }).encryptionKeys.length, 2)
})

t.test('the word default stands for the built-in key, on the way to a key of one’s own', async (t) => {
  const own = generateFernetKey()
  const keysOf = (TOKEN_ENCRYPTION_KEY: string) => {
    const { encryptionKeys, usesBuiltInEncryptionKey } = readSettings({ TOKEN_ENCRYPTION_KEY })
    return [encryptionKeys.map((key) => key.reveal()), usesBuiltInEncryptionKey]
  }
  t.same(keysOf(`${own},default`), [[own, BUILT_IN_ENCRYPTION_KEY], false])
  t.same(keysOf(` default , ${own}`), [[BUILT_IN_ENCRYPTION_KEY, own], true])
  t.same(keysOf('default'), [[BUILT_IN_ENCRYPTION_KEY], true])
  t.match(refusal(t, { TOKEN_ENCRYPTION_KEY: `${own},Default` }), /key 2 is not a Fernet key/)
})

t.test('a key with bits that no key has is refused, not tripped over later', async (t) => {
  t.match(refusal(t, { TOKEN_ENCRYPTION_KEY: `${'A'.repeat(42)}B=` }), /key 1 is not a Fernet key/)
})
