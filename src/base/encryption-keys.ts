/**
 * TOKEN_ENCRYPTION_KEY: which Fernet keys seal and open what is stored.
 */
import { createHmac } from 'node:crypto'
import { ConfigError, type Environment, secretOf } from './environment.ts'
import { Secret } from './secret.ts'

/**
 * Used when TOKEN_ENCRYPTION_KEY is unset, and written `default` in a list of keys: 32 bytes, base64url.
 * Public, so it protects nothing; the start warns, and production refuses it as the key that encrypts.
 */
export const BUILT_IN_ENCRYPTION_KEY = 'dG9rZW4tYnJva2VyIGJ1aWx0LWluIGRldmVsb3AhISE='
/** 32 bytes of nothing: what a template holds, or a script that failed. */
const ZERO_KEY = `${'A'.repeat(43)}=`

const MAKE_ONE = 'make one with: npx token-broker encryption-key generate'

export interface EncryptionKeys {
  /** The first encrypts, all decrypt. */
  readonly encryptionKeys: readonly Secret[]
  /** What is stored from now on can be read by everybody who has the database. */
  readonly usesBuiltInEncryptionKey: boolean
}

/** @throws ConfigError if a key has the wrong form, or if the first one is no secret and NODE_ENV is production */
export function encryptionKeysOf(env: Environment, isProduction: boolean): EncryptionKeys {
  const configured = secretOf(env, 'TOKEN_ENCRYPTION_KEY')?.reveal()
  const keys = (configured ?? 'default').split(',').map(keyOf)
  const usesBuiltIn = keys[0] === BUILT_IN_ENCRYPTION_KEY
  if (isProduction && keys[0] === ZERO_KEY) {
    throw new ConfigError(
      `TOKEN_ENCRYPTION_KEY: the first key is all zeros, which is refused when NODE_ENV is production; ${MAKE_ONE}`,
    )
  }
  if (isProduction && usesBuiltIn && env['ALLOW_DEFAULT_ENCRYPTION_KEY'] !== 'true') {
    const problem =
      configured === undefined ? 'must be set' : 'must begin with a key of your own, not the built-in one,'
    throw new ConfigError(`TOKEN_ENCRYPTION_KEY ${problem} when NODE_ENV is production; ${MAKE_ONE}`)
  }
  return { encryptionKeys: keys.map((key) => new Secret(key)), usesBuiltInEncryptionKey: usesBuiltIn }
}

/** Tells keys apart in a message: 8 hexadecimal digits that tell nothing of the key. */
export function encryptionKeyId(key: Secret): string {
  return createHmac('sha256', key.reveal()).update('token-broker key id').digest('hex').slice(0, 8)
}

function keyOf(text: string, index: number): string {
  const key = text.trim()
  if (key === 'default') return BUILT_IN_ENCRYPTION_KEY
  // Encoded back, it must be itself: some texts of the right form have bits that no key has.
  if (/^[A-Za-z0-9_-]{43}=$/.test(key) && `${Buffer.from(key, 'base64url').toString('base64url')}=` === key)
    return key
  throw new ConfigError(
    `TOKEN_ENCRYPTION_KEY: key ${index + 1} is not a Fernet key (32 bytes as base64url, 44 characters) and not the word default; ${MAKE_ONE}`,
  )
}
