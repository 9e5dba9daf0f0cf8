/**
 * Where the tokens of one login are kept; one contract for the database and for a JSON file.
 */
import type { TokenSet } from '../../oauth/token-response.ts'

export interface Persistence {
  /** Undefined while there is no login. */
  load(): Promise<TokenSet | undefined>
  save(tokens: TokenSet): Promise<void>
  /** Forgets the login. */
  clear(): Promise<void>
}
