/**
 * An nginx of our own in front of a server, as people put it there: `proxy_pass`, everything else as nginx has it.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'
import { findCommand, testWhere, whatIsMissing } from './test-where.ts'
import { waitUntil } from './wait-until.ts'

/** A location of nginx and where it passes calls on to; an address with a path takes the location off. */
export type Locations = Record<string, string>

/** `t.test(name)` with nginx. */
export function onNginx(
  t: Test,
  name: string,
  body: (t: Test, inFrontOf: (origin: string, locations?: Locations) => Promise<string>) => Promise<void>,
): void {
  const binary = findCommand('nginx') ?? ''
  testWhere(t, { name, missing: whatIsMissing('nginx') }, (t) =>
    body(t, (origin, locations) => startNginx(t, binary, origin, locations)),
  )
}

/** @returns its origin */
async function startNginx(
  t: Test,
  binary: string,
  origin: string,
  locations: Locations = { '/': origin },
): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-nginx-'))
  const port = await freePort()
  writeFileSync(join(dir, 'nginx.conf'), config(dir, port, locations))
  const child = spawn(binary, ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', join(dir, 'error.log')], {
    stdio: 'ignore',
  })
  const gone = new Promise((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await gone
    rmSync(dir, { recursive: true, force: true })
  })
  await waitUntil(() => isListening(port))
  return `http://127.0.0.1:${port}`
}

function config(dir: string, port: number, locations: Locations): string {
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const own = places.map((place) => `${place}_temp_path ${dir}/${place};`).join(' ')
  return `
daemon off;
master_process off;
pid ${dir}/pid;
events {}
http {
  access_log off;
  ${own}
  server {
    listen 127.0.0.1:${port};
    ${Object.entries(locations)
      .map(([path, to]) => `location ${path} { proxy_pass ${to}; }`)
      .join('\n    ')}
  }
}
`
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
