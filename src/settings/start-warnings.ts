/**
 * What does not stop a start and yet should be known: one line each, which names a setting and never its value.
 */
import { statSync } from 'node:fs'
import type { EncryptionKeys } from '../base/encryption-keys.ts'
import type { Environment, StartWarning } from '../base/environment.ts'
import { LOOPBACK } from '../base/network.ts'

/** Names that mean something to us or to Node, and may be a slip away from a setting's. */
const OTHERS = ['NODE_ENV', 'http_proxy', 'https_proxy', 'no_proxy', 'ALL_PROXY', 'FTP_PROXY']

/** @param settings the names of all settings. Warns of variables whose names are one slip away from one of them */
export function slipWarnings(env: Environment, settings: ReadonlySet<string>): StartWarning[] {
  const unknown = Object.keys(env).filter((name) => !settings.has(name) && !OTHERS.includes(name))
  return unknown.flatMap((name) => {
    const meant = [...settings].find((setting) => isOneSlip(name, setting))
    return meant ? [{ setting: name, message: `this is no setting and is not read; ${meant} is one` }] : []
  })
}

/** One character too many, too few or another, or two that changed places. */
function isOneSlip(name: string, setting: string): boolean {
  if (Math.abs(name.length - setting.length) > 1) return false
  let at = 0
  while (at < name.length && name[at] === setting[at]) at += 1
  const [given, wanted] = [name.slice(at), setting.slice(at)]
  return (
    given.slice(1) === wanted ||
    given === wanted.slice(1) ||
    given.slice(1) === wanted.slice(1) ||
    (given[0] === wanted[1] && given[1] === wanted[0] && given.slice(2) === wanted.slice(2))
  )
}

/** Orchestrators mount secrets so that all may read them. @param asked names of variables, `NAME_FILE` of secrets among them */
export function openSecretWarnings(env: Environment, asked: ReadonlySet<string>): StartWarning[] {
  const message =
    'every user of this machine can read the secret in this file: give the file, or its mount, a mode like 0400'
  return [...asked].flatMap((name) => {
    const file = asked.has(`${name}_FILE`) ? env[`${name}_FILE`] : undefined
    if (file === undefined || !isOpenToAll(file)) return []
    return [{ setting: `${name}_FILE`, message }]
  })
}

function isOpenToAll(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false })
  return process.getuid !== undefined && found !== undefined && (found.mode & 0o004) !== 0
}

export function builtInKeyWarnings({ usesBuiltInEncryptionKey }: EncryptionKeys): StartWarning[] {
  if (!usesBuiltInEncryptionKey) return []
  const message = 'tokens are sealed with the built-in key, which everybody knows: set TOKEN_ENCRYPTION_KEY'
  return [{ setting: 'TOKEN_ENCRYPTION_KEY', message }]
}

/** @param webhookUrl as it was checked */
export function networkWarnings(env: Environment, webhookUrl: string | undefined): StartWarning[] {
  const warnings: StartWarning[] = []
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    const message =
      'has no effect: certificates are always verified; name your own authority in NODE_EXTRA_CA_CERTS'
    warnings.push({ setting: 'NODE_TLS_REJECT_UNAUTHORIZED', message })
  }
  const webhook = webhookUrl === undefined ? undefined : new URL(webhookUrl)
  if (webhook?.protocol === 'http:' && !LOOPBACK.test(webhook.hostname)) {
    const message =
      'events are sent in plain http, where others can read them and the login links in them: use https'
    warnings.push({ setting: 'WEBHOOK_URL', message })
  }
  return warnings
}
