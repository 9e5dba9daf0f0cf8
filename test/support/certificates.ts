/**
 * Certificates that this process trusts for as long as a test runs.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { Test } from 'tap'

export interface KeyPair {
  readonly key: string
  readonly cert: string
}

/** Signed by itself, and trusted by nobody yet. */
export function selfSigned(names: readonly string[]): KeyPair {
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-cert-'))
  const files = ['-keyout', `${dir}/key.pem`, '-out', `${dir}/cert.pem`]
  const alternatives = names.map((name) => `DNS:${name}`).join(',')
  const subject = ['-subj', `/CN=${names[0]}`, '-addext', `subjectAltName=${alternatives}`]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', ...kind, ...files, ...subject], { stdio: 'ignore' })
  const pair = { key: readFileSync(`${dir}/key.pem`, 'utf8'), cert: readFileSync(`${dir}/cert.pem`, 'utf8') }
  rmSync(dir, { recursive: true })
  return pair
}

export function trust(t: Test, { cert }: KeyPair): void {
  const trusted = getCACertificates('default')
  setDefaultCACertificates([...trusted, cert])
  t.teardown(() => setDefaultCACertificates(trusted))
}
