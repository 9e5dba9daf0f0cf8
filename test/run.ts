/**
 * `npm test`: starts a private MariaDB/MySQL where the machine has one, then tap.
 *
 * Without MYSQL_TEST_URL and without a server binary the MySQL half of the suite reports itself skipped, by name;
 * with CI=true that is a failure.
 */
import { spawn } from 'node:child_process'
import { startMysql } from './support/mysql-server.ts'

const server = process.env['MYSQL_TEST_URL'] ? undefined : await startMysql()
const url = process.env['MYSQL_TEST_URL'] ?? server?.url
const tap = spawn('tap', process.argv.slice(2), {
  stdio: 'inherit',
  env: { ...process.env, ...(url && { MYSQL_TEST_URL: url }) },
})
tap.on('exit', async (code) => {
  await server?.stop()
  process.exitCode = code ?? 1
})
