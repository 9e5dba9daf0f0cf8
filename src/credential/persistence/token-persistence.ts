/**
 * Tokens in a JSON file, for the command line and for scripts; the server never touches it.
 *
 * Written whole to a neighbour and renamed over, 0600, so that a reader sees the old or the new file. `exclusively`
 * keeps two processes from spending one refresh token.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { numberOf } from '../../oauth/answer-body.ts'
import {
  isRefreshToken,
  isToken,
  lifeOfGiven,
  normalizeTokenType,
  type TokenSet,
} from '../../oauth/token-response.ts'
import { withFileLock } from '../../storage/file-lock.ts'

export class TokenPersistence {
  readonly file: string

  constructor(file: string = defaultFile('qwen')) {
    this.file = file
  }

  /** Undefined while there is no login. */
  async load(): Promise<TokenSet | undefined> {
    let text: string
    try {
      text = await readFile(this.file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return parseTokenFile(text)
  }

  async save(tokens: TokenSet): Promise<void> {
    await mkdir(dirname(this.file), { recursive: true, mode: 0o700 })
    const temporary = `${this.file}.${randomUUID()}`
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(`${JSON.stringify(toFile(tokens), null, 2)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, this.file)
  }

  async clear(): Promise<void> {
    await rm(this.file, { force: true })
  }

  /** Runs `work` while no other process does the same on this file. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    await mkdir(dirname(this.file), { recursive: true, mode: 0o700 })
    return withFileLock(`${this.file}.lock`, work)
  }
}

/** `~/.one_dragon_alpha/qwen_oauth_creds.json` (docs/api.md, Command line); other providers beside it. */
export function defaultFile(provider: string): string {
  return join(homedir(), '.one_dragon_alpha', `${provider}_oauth_creds.json`)
}

/**
 * Our own file (`expires_at`, ms), or the one of the official client (`expiry_date`, ms).
 * @throws SyntaxError if it is neither
 */
export function parseTokenFile(text: string): TokenSet {
  const file = JSON.parse(text.replace(/^\ufeff/, '')) as Record<string, unknown>
  if (typeof file !== 'object' || file === null || !isToken(file['access_token'])) {
    throw new SyntaxError('no access_token in the file')
  }
  const refreshToken = file['refresh_token']
  const expiresAt = file['expires_at'] ?? file['expiry_date']
  const refreshedAt = file['refreshed_at']
  const { resource_url: resourceUrl, checked_at: checkedAt } = file
  return {
    accessToken: file['access_token'],
    refreshToken: isRefreshToken(refreshToken) ? refreshToken : undefined,
    tokenType: normalizeTokenType(file['token_type']),
    scope: typeof file['scope'] === 'string' ? file['scope'] : undefined,
    ...lifeOfGiven(
      file['access_token'],
      numberOf(expiresAt),
      typeof refreshedAt === 'number' ? refreshedAt : undefined,
    ),
    metadata: {
      ...(typeof resourceUrl === 'string' && { resource_url: resourceUrl }),
      ...(typeof checkedAt === 'number' && { checked_at: checkedAt }),
    },
  }
}

function toFile(tokens: TokenSet): Record<string, unknown> {
  return {
    access_token: tokens.accessToken,
    refresh_token: tokens.refreshToken,
    token_type: tokens.tokenType,
    scope: tokens.scope,
    expires_at: tokens.expiresAt,
    refreshed_at: tokens.receivedAt,
    resource_url: tokens.metadata['resource_url'],
    checked_at: tokens.metadata['checked_at'],
  }
}
