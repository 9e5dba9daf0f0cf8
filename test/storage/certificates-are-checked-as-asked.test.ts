/** `ssl-mode`, against a real server with TLS: who is let in, and that nothing falls back to plain text. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { onOwnMysql } from '../support/databases.ts'
import { startMysql } from '../support/mysql-server.ts'
import { open } from './fixtures/open.ts'

interface Authority {
  readonly dir: string
  readonly caFile: string
  /** @param name as an extension has it, e.g. `DNS:localhost` or `IP:127.0.0.1` */
  sign(name: string): { certFile: string; keyFile: string }
}

/** An authority that nobody knows, and what it signs. */
function authority(t: Test): Authority {
  const dir = t.testdir()
  const file = (name: string) => join(dir, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  const newKey = ['-newkey', 'rsa:2048', '-nodes', '-days', '2']
  openssl('req', '-x509', ...newKey, '-subj', '/CN=ca', '-keyout', file('ca.key'), '-out', file('ca.pem'))
  let signed = 0
  return {
    dir,
    caFile: file('ca.pem'),
    sign(name) {
      signed += 1
      const [keyFile, certFile] = [file(`${signed}.key`), file(`${signed}.pem`)]
      const names = ['-subj', '/CN=db', '-addext', `subjectAltName=${name}`]
      const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key')]
      openssl('req', '-x509', ...newKey, ...names, ...by, '-keyout', keyFile, '-out', certFile)
      return { certFile, keyFile }
    },
  }
}

/** The cipher of the connection ('' without TLS), or why there is none. */
async function connect(t: Test, url: string): Promise<string> {
  const { run, close } = open(t, { kind: 'MySQL', url }, '')
  try {
    const { rows } = await run((db) =>
      sql<{ Value: string }>`show session status like 'Ssl_cipher'`.execute(db),
    )
    return rows[0]?.Value ? 'encrypted' : 'plain text'
  } catch (error) {
    return (error as { code: string }).code
  } finally {
    await close()
  }
}

t.test('against servers with certificates', async (t) => {
  const ca = authority(t)
  const withCa = `ssl-ca=${encodeURIComponent(ca.caFile)}`
  const away = 'storage_unavailable'
  const cases = [
    { name: 'DNS:localhost', host: 'localhost', identity: 'encrypted' },
    { name: 'DNS:localhost', host: '127.0.0.1', identity: away },
    { name: 'IP:127.0.0.1', host: '127.0.0.1', identity: 'encrypted' },
    { name: 'IP:127.0.0.1', host: 'localhost', identity: away },
    { name: 'DNS:elsewhere.example', host: 'localhost', identity: away },
  ]
  for (const { name, host, identity } of cases) {
    const { certFile, keyFile } = ca.sign(name)
    const server = await startMysql([`--ssl-cert=${certFile}`, `--ssl-key=${keyFile}`])
    if (!server) return t.comment('not tested: neither mariadbd nor mysqld here')
    const url = `${server.url.replace('127.0.0.1', host)}mysql`
    const title = `${name}, asked as ${host}`
    t.equal(await connect(t, `${url}?ssl-mode=VERIFY_IDENTITY&${withCa}`), identity, title)
    t.equal(await connect(t, `${url}?ssl-mode=VERIFY_CA&${withCa}`), 'encrypted', title)
    t.equal(await connect(t, `${url}?ssl-mode=VERIFY_CA`), away, `${title}: an authority nobody knows`)
    t.equal(await connect(t, `${url}?ssl=true`), away, title)
    t.equal(await connect(t, `${url}?ssl-mode=REQUIRED`), 'encrypted', title)
    t.equal(await connect(t, url), 'plain text', title)
    await server.stop()
  }
})

onOwnMysql(
  t,
  'a server without TLS is refused where TLS was asked for',
  [['--skip-ssl']],
  async (t, { server }) => {
    for (const mode of ['REQUIRED', 'VERIFY_CA', 'VERIFY_IDENTITY']) {
      t.equal(await connect(t, `${server.url}mysql?ssl-mode=${mode}`), 'storage_unavailable', mode)
    }
  },
)

onOwnMysql(t, 'an IPv6 address', [['--bind-address=127.0.0.1,::1']], async (t, { server }) => {
  t.equal(await connect(t, `${server.url.replace('127.0.0.1', '[::1]')}mysql`), 'plain text')
})
