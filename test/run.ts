/**
 * `npm test`: starts a private MariaDB/MySQL where the machine has one, then tap.
 *
 * Without MYSQL_TEST_URL and without a server binary the MySQL half of the suite reports itself skipped, by name;
 * with CI=true that is a failure.
 */
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startMysql } from './support/mysql-server.ts'

const server = process.env['MYSQL_TEST_URL'] ? undefined : await startMysql()
const url = process.env['MYSQL_TEST_URL'] ?? server?.url
/** Each test file and each broker is a process that loads the same modules: a fifth of their time goes without. */
const compiled = process.env['NODE_COMPILE_CACHE'] ?? join(tmpdir(), 'token-broker-compiled')
const tap = spawn('tap', process.argv.slice(2), {
  stdio: 'inherit',
  env: { ...process.env, NODE_COMPILE_CACHE: compiled, ...(url && { MYSQL_TEST_URL: url }) },
})
tap.on('exit', async (code) => {
  await server?.stop()
  process.exitCode = code ?? 1
})
