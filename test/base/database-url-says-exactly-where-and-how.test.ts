import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseDatabaseUrl } from '../../src/base/database-url.ts'
import { ConfigError } from '../../src/base/environment.ts'

const PLAIN = {
  hosts: [{ host: 'db', port: 3306 }],
  user: 'u',
  password: 'hunter2',
  database: 'name',
  sslMode: 'DISABLED',
}

t.test('where, and who', async (t) => {
  const good: Record<string, object> = {
    'mysql://u:hunter2@db/name': PLAIN,
    'mysql://u:hunter2@db:3307/name': { hosts: [{ host: 'db', port: 3307 }] },
    'mysql://u:hunter2@[::1]:3307/name': { hosts: [{ host: '::1', port: 3307 }] },
    'mysql://u:hunter2@[2001:db8::7]/name': { hosts: [{ host: '2001:db8::7', port: 3306 }] },
    'mysql://u:hunter2@10.0.0.5/name': { hosts: [{ host: '10.0.0.5', port: 3306 }] },
    'mysql://u:hunter2@one,two:3307,[::1],10.0.0.5:3308/name': {
      hosts: [
        { host: 'one', port: 3306 },
        { host: 'two', port: 3307 },
        { host: '::1', port: 3306 },
        { host: '10.0.0.5', port: 3308 },
      ],
    },
    'mysql://u@db/name': { user: 'u', password: '' },
    'mysql://db/name': { user: '', password: '' },
    'mysql://u%40corp:p%25%2F%3A%40%3F%23%20%E9%85%8D@db/na%2Dme': {
      user: 'u@corp',
      password: 'p%/:@?# 配',
      database: 'na-me',
    },
    'mysql://u:a!$&*()-._~=+;@db/name': { password: 'a!$&*()-._~=+;' },
  }
  for (const [url, expected] of Object.entries(good)) t.match(parseDatabaseUrl(url), expected, url)
  t.equal(parseDatabaseUrl('sqlite:'), undefined)
})

t.test('how its certificate is checked', async (t) => {
  const pem = '-----BEGIN CERTIFICATE-----\n'
  const dir = t.testdir({ 'ca.pem': pem, other: 'hunter2' })
  const ca = encodeURIComponent(join(dir, 'ca.pem'))
  const modes: Record<string, object> = {
    '': { sslMode: 'DISABLED', sslCa: undefined },
    'ssl-mode=DISABLED': { sslMode: 'DISABLED' },
    'ssl-mode=REQUIRED': { sslMode: 'REQUIRED' },
    'ssl-mode=VERIFY_CA': { sslMode: 'VERIFY_CA' },
    'ssl-mode=VERIFY_IDENTITY': { sslMode: 'VERIFY_IDENTITY' },
    'sslmode=verify-ca': { sslMode: 'VERIFY_CA' },
    'ssl=required': { sslMode: 'REQUIRED' },
    'ssl=true': { sslMode: 'VERIFY_IDENTITY' },
    'ssl=false': { sslMode: 'DISABLED' },
    [`ssl-ca=${ca}`]: { sslMode: 'VERIFY_IDENTITY', sslCa: pem },
    [`ssl-mode=VERIFY_CA&ssl-ca=${ca}`]: { sslMode: 'VERIFY_CA', sslCa: pem },
  }
  for (const [query, expected] of Object.entries(modes)) {
    t.match(parseDatabaseUrl(`mysql://u:hunter2@db/name?${query}`), expected, query)
  }
  const wrong = [
    ...['ssl-mode=PREFERRED', 'ssl-mode=', 'ssl=yes', 'ssl-mode=REQUIRED&ssl=true', 'charset=latin1'],
    ...['sslverify=1', `ssl-mode=REQUIRED&ssl-ca=${ca}`, 'ssl-ca=', 'ssl-ca=/none/hunter2'],
    ...[`ssl-ca=${encodeURIComponent(join(dir, 'other'))}`, 'multipleStatements=true'],
  ]
  for (const query of wrong) refused(t, `mysql://u:hunter2@db/name?${query}`, /^DATABASE_URL: .*ssl/)
})

t.test('what is not percent-encoded, or no address, stops the start with one line', async (t) => {
  const unencoded = [
    'hunter2%',
    'hunter2%zz',
    'hunter2@x',
    'hunter2/x',
    'hunter2?x',
    'hunter2#x',
    'hunter2:x',
    '%E9hunter2',
  ]
  for (const password of unencoded) refused(t, `mysql://u:${password}@db/name`, /percent-encoded/)
  for (const user of ['us%er', 'us@er', 'us/er'])
    refused(t, `mysql://${user}:hunter2@db/name`, /percent-encoded/)
  refused(t, 'mysql://u:hunter2@one:3306,two,one/name', /a host twice/)
  const others = [
    ...[
      'mysql://u:hunter2@db',
      'mysql://u:hunter2@db/',
      'mysql://u:hunter2@/name',
      'mysql://u:hunter2@db:0/name',
    ],
    ...[
      'mysql://u:hunter2@db:65536/name',
      'mysql://u:hunter2@db:x/name',
      'mysql://u:hunter2@one,,two/name',
      'mysql://u:hunter2@one,/name',
      'mysql://u:hunter2@[10.0.0.1]/name',
    ],
    ...[
      'mysql://u:hunter2@::1/name',
      'mysql://u:hunter2@db/a/b',
      'mysql://u:hunter2@db/name#x',
      'mariadb://hunter2@db/n',
    ],
    ...['mysql://u:hunter2@d b/name', 'sqlite:hunter2', 'hunter2'],
  ]
  for (const url of others) refused(t, url, /^DATABASE_URL must be/)
})

function refused(t: Test, url: string, line: RegExp): void {
  try {
    parseDatabaseUrl(url)
    t.fail(`accepted ${url}`)
  } catch (error) {
    t.ok(error instanceof ConfigError, String(error))
    const { message } = error as Error
    t.match(message, line, url)
    t.match(message, /^DATABASE_URL/)
    t.notMatch(message, /hunter2|\n/)
  }
}
