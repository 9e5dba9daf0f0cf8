/**
 * The model endpoints behind everything: a static kilobyte, and server-sent events.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import type { Lab } from './lab.ts'
import { ANSWER } from './messages.ts'
import { type Running, start, startScript, untilAnswers } from './processes.ts'

/** @returns its origin */
export async function startStaticUpstream(lab: Lab): Promise<string> {
  if (!lab.hasNginx) return originOf(await startScript('static-upstream', {}))
  const port = await freePort()
  await startNginx(
    lab,
    `server { listen 127.0.0.1:${port}; location / { default_type application/json; return 200 '${ANSWER}'; } }`,
    port,
  )
  return `http://127.0.0.1:${port}`
}

/** @returns its origin */
export async function startSseUpstream(): Promise<string> {
  return originOf(await startScript('sse-upstream', {}))
}

export function originOf({ port }: { readonly port: number }): string {
  return `http://127.0.0.1:${port}`
}

/** nginx as one process, with all its files in a directory of its own. */
export async function startNginx(lab: Lab, http: string, port: number): Promise<Running> {
  const dir = mkdtempSync(join(lab.dir, 'nginx-'))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/${name};`)
    .join(' ')
  const text = `
daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k; ${temporary} ${http} }
`
  const file = join(dir, 'nginx.conf')
  writeFileSync(file, text)
  const running = start('nginx', 'nginx', ['-c', file, '-p', dir, '-e', join(dir, 'error.log')])
  await untilAnswers(`http://127.0.0.1:${port}/`)
  return running
}
