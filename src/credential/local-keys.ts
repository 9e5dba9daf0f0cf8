/**
 * Keys and tokens that cost nothing to get and are stored nowhere (`aws_sigv4`, `signed_jwt`, the machine's own identity, what
 * a login is traded for): each process gets its own, once for all of its callers, and keeps them for a config as long as what
 * they were got with stays what it was.
 */

import { LRUCache } from 'lru-cache'
import { NoKeys } from '../aws/aws-question.ts'
import { type Clock, MINUTE, SECOND, within } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { upTo } from '../base/up-to.ts'
import type { Provider } from '../provider/provider.ts'
import { type Credential, fingerprint, isDue, isOlder, isTwoStep, isUsable } from './credential.ts'
import type { Fetched, LocalFetch } from './local-fetch.ts'

const MAX_KEPT = 10_000
const FIRST_PAUSE_MS = 5 * SECOND
const FIRST_REFUSED_PAUSE_MS = 30 * SECOND
const MAX_PAUSE_MS = 5 * MINUTE
/** Whoever looks next sees it; a database that is away holds nobody up. */
const NOTED_WITHIN_MS = SECOND

/** Writes down that what a row has for itself is refused, or no longer. Never rejects. */
export type Note = (row: Credential, refusal: string | undefined) => Promise<void>

/** What lies in a provider's files now; undefined: it has none. */
export type ReadFiles = (provider: Provider) => Promise<string | undefined>

/** The last attempt that failed, at an epoch ms; none is made before `until`, but with other files. */
interface Trouble {
  readonly error: NoKeys
  readonly files: string | undefined
  readonly at: number
  readonly until: number
  readonly pauseMs: number
}

/** What there is of one config. */
interface Kept {
  /** As it was read from its row. */
  row: Credential
  /** Of others nothing counts that is here. */
  readonly basis: string
  /** With keys; undefined: there were none yet. */
  credential: Credential | undefined
  /** Rises with every keys that are fetched. */
  generation: number
  flight: Promise<void> | undefined
  trouble: Trouble | undefined
  /** It was written down that it is refused. */
  isRefused: boolean
  /** Epoch ms; refusals by upstream ask for no other keys until then. */
  forcedUntil: number
}

export class LocalKeys {
  readonly #get: LocalFetch
  readonly #note: Note
  readonly #files: ReadFiles
  readonly #clock: Clock
  readonly #kept = new LRUCache<string, Kept>(upTo(MAX_KEPT))
  /** Of what was handed out: which keys they are, and the row that they were got with. */
  readonly #handedOut = new WeakMap<Credential, { readonly generation: number; readonly row: Credential }>()

  constructor(get: LocalFetch, note: Note, files: ReadFiles, clock: Clock) {
    this.#get = get
    this.#note = note
    this.#files = files
    this.#clock = clock
  }

  /** What a row has, if it needs nothing at all. */
  peek(row: Credential): Credential | undefined {
    const kept = this.#kept.get(row.configId)
    if (kept?.row !== row || !kept.credential) return undefined
    return isDue(kept.credential, this.#clock()) ? undefined : kept.credential
  }

  /** What there is for a row, to its end. */
  living(row: Credential): Credential | undefined {
    const { credential } = this.#of(row)
    return credential && isUsable(credential, this.#clock()) ? credential : undefined
  }

  /** @param onWait called if there is something to wait for. @throws BrokerError credential_refused | refresh_unavailable */
  async usable(row: Credential, patienceMs: number, onWait?: () => void): Promise<Credential> {
    const kept = this.#of(row)
    const present = kept.credential
    const now = this.#clock()
    if (present && !isDue(present, now)) return present
    const isPaused = kept.trouble && now < kept.trouble.until && !(await this.#isMended(kept))
    const flight = isPaused ? undefined : this.#fetch(kept)
    if (present && isUsable(present, now)) return present
    if (flight) {
      onWait?.()
      await within(patienceMs, flight)
    }
    const { credential } = kept
    if (credential && isUsable(credential, this.#clock())) return credential
    throw this.#unavailable(kept)
  }

  /**
   * Keys that are newer than those that upstream refused, or undefined if there are none: fetched at most once a minute.
   * @throws as {@link usable}
   */
  async afterRefusal(
    row: Credential,
    refused: Credential,
    patienceMs: number,
  ): Promise<Credential | undefined> {
    const kept = this.#of(row)
    const generation = this.#handedOut.get(refused)?.generation ?? 0
    const now = this.#clock()
    if (kept.generation === generation && now >= kept.forcedUntil) {
      kept.forcedUntil = now + MINUTE
      await within(patienceMs, this.#fetch(kept))
    } else if (kept.flight) await within(patienceMs, kept.flight)
    const { credential } = kept
    if (credential && !isUsable(credential, this.#clock())) throw this.#unavailable(kept)
    return credential && kept.generation > generation && isOther(credential, refused) ? credential : undefined
  }

  /** Why this process has no new keys for it, where only a person can mend that. */
  refusalOf(configId: string): string | undefined {
    const error = this.#kept.peek(configId)?.trouble?.error
    return error?.isRefusal ? error.message : undefined
  }

  /** Fetches now. @throws as {@link usable} */
  async renew(row: Credential, patienceMs: number): Promise<void> {
    const kept = this.#of(row)
    const { generation } = kept
    await within(patienceMs, this.#fetch(kept))
    if (kept.generation === generation) throw this.#unavailable(kept)
  }

  /** What is kept for a row; of one that has changed nothing counts that was fetched before. */
  #of(known: Credential): Kept {
    // Without a database nothing but what was refused may be known of it.
    const row = this.#handedOut.get(known)?.row ?? known
    const kept = this.#kept.get(row.configId)
    if (kept?.row === row) return kept
    const basis = basisOf(row)
    if (kept?.basis === basis) {
      // A login that was renewed since may be traded at once.
      if ((row.tokens.receivedAt ?? 0) > (kept.trouble?.at ?? 0)) kept.trouble = undefined
      if (!isOlder(row, kept.row)) kept.row = row
      if (kept.credential) this.#put(kept, kept.credential)
      return kept
    }
    const fresh: Kept = {
      row,
      basis,
      credential: undefined,
      generation: 0,
      flight: undefined,
      trouble: undefined,
      isRefused: false,
      forcedUntil: 0,
    }
    this.#kept.set(row.configId, fresh)
    return fresh
  }

  /** What was refused is tried at once where a file has been replaced since. */
  async #isMended({ trouble, row }: Kept): Promise<boolean> {
    return trouble?.files !== undefined && trouble.files !== (await this.#files(row.provider))
  }

  #fetch(kept: Kept): Promise<void> {
    kept.flight ??= this.#attempt(kept).finally(() => {
      kept.flight = undefined
    })
    return kept.flight
  }

  /** Never throws. */
  async #attempt(kept: Kept): Promise<void> {
    const files = this.#files(kept.row.provider)
    try {
      const fetched = await this.#get(kept.row, kept.trouble?.error.isRefusal ?? false)
      kept.trouble = undefined
      kept.generation += 1
      this.#put(kept, fetched)
      if (kept.isRefused || kept.row.state === 'refused') await this.#tell(kept, undefined)
    } catch (thrown) {
      const error = thrown instanceof NoKeys ? thrown : new NoKeys(String((thrown as Error).name), false)
      const first = error.isRefusal ? FIRST_REFUSED_PAUSE_MS : FIRST_PAUSE_MS
      const pauseMs = Math.min(kept.trouble ? kept.trouble.pauseMs * 2 : first, MAX_PAUSE_MS)
      const at = this.#clock()
      kept.trouble = {
        error,
        files: error.isRefusal ? await files : undefined,
        at,
        until: at + pauseMs,
        pauseMs,
      }
      if (error.isRefusal) await this.#tell(kept, error.message)
    }
  }

  async #tell(kept: Kept, refusal: string | undefined): Promise<void> {
    kept.isRefused = refusal !== undefined
    await within(NOTED_WITHIN_MS, this.#note(kept.row, refusal))
  }

  #put(kept: Kept, { tokens, awsKeys }: Fetched): void {
    kept.credential = { ...kept.row, tokens, awsKeys }
    this.#handedOut.set(kept.credential, { generation: kept.generation, row: kept.row })
  }

  #unavailable({ trouble }: Kept): BrokerError {
    const { message = 'still fetching keys', isRefusal = false } = trouble?.error ?? {}
    if (isRefusal) return new BrokerError('credential_refused', { detail: message })
    const ms = trouble ? trouble.until - this.#clock() : FIRST_PAUSE_MS
    const retryAfterSeconds = Math.min(Math.max(1, Math.ceil(ms / SECOND)), 60)
    return new BrokerError('refresh_unavailable', { detail: message, retryAfterSeconds })
  }
}

/** What keys are got with: the row at one version; of a login in two steps the login, however often it is renewed. */
function basisOf(row: Credential): string {
  const { loginAt, version, provider } = row
  return isTwoStep(row) ? fingerprint(JSON.stringify([loginAt, ...provider.given])) : `${loginAt} ${version}`
}

function isOther(one: Credential, other: Credential): boolean {
  if (one.tokens.accessToken !== other.tokens.accessToken) return true
  const [keys, others] = [one.awsKeys, other.awsKeys]
  return keys?.secretAccessKey !== others?.secretAccessKey || keys?.sessionToken !== others?.sessionToken
}
