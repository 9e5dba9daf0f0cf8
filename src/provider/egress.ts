/**
 * `proxy` and `tls` of a provider file: the way out to it, where that is not everybody's.
 */
import Type from 'typebox'
import { sha256 } from '../base/digest.ts'
import { ConfigError, type Environment, secretOf } from '../base/environment.ts'
import { isProxyAddress } from '../base/proxy-settings.ts'
import { Secret } from '../base/secret.ts'
import { ProviderMistake } from './provider-mistake.ts'

const path = Type.Optional(Type.String({ minLength: 1 }))

/** An address, `env:NAME`, or `none`. */
export const PROXY_FILE = Type.String({ minLength: 1 })
export const TLS_FILE = Type.Object(
  { ca_file: path, certificate_file: path, key_file: path },
  { additionalProperties: false },
)

/** Paths of files in PEM. */
export interface TlsFiles {
  /** Who is trusted beside those whom the system trusts. */
  readonly ca: string | undefined
  /** What we show of ourselves, and the key to it. */
  readonly certificate: string | undefined
  readonly key: string | undefined
}

export interface Egress {
  /** Egresses of one key are the same. */
  readonly key: string
  /** Undefined: the one of the environment, if any. */
  readonly proxy: Secret | 'none' | undefined
  readonly tls: TlsFiles | undefined
  /** A config may name any host (`any_host`): only public addresses are connected to, and never by a proxy. */
  readonly isConfined: boolean
}

interface EgressFile {
  readonly proxy?: string
  readonly tls?: Type.Static<typeof TLS_FILE>
}

/** Undefined: as everything else leaves. @throws ProviderMistake */
export function toEgress(
  { proxy: text, tls: files }: EgressFile,
  env: Environment,
  isConfined: boolean,
): Egress | undefined {
  if (text === undefined && files === undefined && !isConfined) return undefined
  if (text !== undefined && text !== 'none' && isConfined)
    throw new ProviderMistake(['proxy'], 'is not for a file with any_host, whose names only we may look up')
  const proxy = text === undefined || text === 'none' ? text : toProxy(text, env)
  const tls = files && { ca: files.ca_file, certificate: files.certificate_file, key: files.key_file }
  if (tls && (tls.certificate === undefined) !== (tls.key === undefined))
    throw new ProviderMistake(['tls'], 'needs certificate_file and key_file together')
  const parts = [proxy instanceof Secret ? proxy.reveal() : proxy, tls, isConfined]
  return { key: sha256(JSON.stringify(parts)), proxy, tls, isConfined }
}

function toProxy(text: string, env: Environment): Secret {
  const proxy = text.startsWith('env:') ? ofEnvironment(text.slice('env:'.length), env) : new Secret(text)
  if (isProxyAddress(proxy.reveal())) return proxy
  throw new ProviderMistake(['proxy'], 'must be none, or an address like http://proxy.example.com:3128')
}

function ofEnvironment(name: string, env: Environment): Secret {
  try {
    const value = secretOf(env, name)
    if (value) return value
  } catch (error) {
    if (error instanceof ConfigError) throw new ProviderMistake(['proxy'], `cannot be had: ${error.message}`)
    throw error
  }
  throw new ProviderMistake(['proxy'], `reads ${name}, which is not set`)
}
