/**
 * Every secret that this process makes, and the search for them in what its brokers log, answer, count and store.
 *
 * test/support/broker.ts hands in what it sees; whoever seals something hands it in unasked. A hit is an error that
 * names the class of the secret and the place, never the secret.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { Secret } from '../../src/base/secret.ts'
import type { Config } from '../../src/settings/config.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { Canary, databaseBytes, fileBytes, MIN_LENGTH } from './canary.ts'

export type Place = 'log' | 'answer' | 'metrics' | 'database' | 'command'

interface OptOut {
  /** Name of the test file. */
  readonly test: string
  readonly place: Place
  /** Classes; every class if left out. */
  readonly names?: readonly string[]
  readonly reason: string
}

/** Tests that put a secret on purpose where none belongs. */
const OPT_OUTS: readonly OptOut[] = []

/** What the API, below whatever path, is made to tell: to whoever logs in, and once to whoever makes a key. */
const TOLD: readonly { readonly path: RegExp; readonly names: RegExp }[] = [
  { path: /\/api\/[^/]+\/oauth\/device-code$/, names: /^(device code|sealed)$/ },
  { path: /\/api\/[^/]+\/oauth\/(status|events)$/, names: /^((access|refresh) token|sealed)$/ },
  { path: /\/api\/(models\/configs\/[^/]+\/)?token$/, names: /^(access token|sealed)$/ },
  { path: /\/api\/keys(\/[^/]+\/rotate)?$/, names: /^broker key$/ },
]
/** Sealed by src/storage/encryption-canary.ts to prove a key; everybody knows them. */
const PROOFS = new Set(['token-broker', 'every row has its seal'])
const SESSION_ID = /"session_id":"([^"]+)"/
const DEVICE_CODE = /"device_code":"([^"]+)"/
/** What a new user is told on standard output: a key, and a command with it. */
const WELCOME = /^ {2}Broker key .*|^curl .*/gm
const ASK_MS = 3_000

const secrets = new Canary()
/** Of every broker that this process knows. */
const origins = new Set<string>()
const tally = { brokers: 0, answers: 0, tooShort: new Set<string>(), notSearched: [] as string[] }

/** Too short ones are counted, for they cannot be told from other texts. */
export function watch(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') return
  if (value.length < MIN_LENGTH) tally.tooShort.add(value)
  else secrets.watch(name, value)
}

/** The secrets of the environment and the provider files: whatever is a Secret in there, by the name of its field. */
export function watchConfig(config: Config): void {
  const seen = new Set<unknown>()
  const walk = (value: unknown, name: string) => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    if (value instanceof Secret) return watchSetting(name, value.reveal())
    const entries = value instanceof Map ? value : Object.entries(value)
    for (const [key, entry] of entries) walk(entry, /^\d+$/.test(key) ? name : key)
  }
  walk(config, 'config')
}

/** A URL's password, too. */
function watchSetting(name: string, text: string): void {
  watch(name, text)
  const password = URL.canParse(text) ? new URL(text).password : ''
  watch(`${name} password`, decodeURIComponent(password))
}

/** A secret is shown where none belongs. */
export class LeakError extends Error {}

/** From now on what is sent there is watched, and its answers are searched. */
export function searchAnswersOf(origin: string): void {
  origins.add(origin)
}

export function isBroker({ origin }: URL): boolean {
  return origins.has(origin)
}

/** What is handed in with a call to a broker. */
export function watchCall(url: URL, method: string, sent: unknown, bearer: string | undefined): void {
  if (!isBroker(url)) return
  watch('bearer token', bearer)
  const body = typeof sent === 'object' && sent !== null ? (sent as Record<string, unknown>) : {}
  watch('api key', body['api_key'])
  watch('admin token', url.pathname === '/api/session' && method === 'POST' ? body['admin_token'] : '')
  watchTokens(body['oauth_token'])
}

function watchTokens(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  const { access_token, refresh_token, accessToken, refreshToken } = value as Record<string, unknown>
  for (const text of [access_token, accessToken]) watch('access token', text)
  for (const text of [refresh_token, refreshToken]) watch('refresh token', text)
}

/** A broker's; what it tells for the first time is watched. @throws LeakError if it shows a secret that the API does not tell there */
export function searchAnswer(url: URL, headers: Headers, text: string): void {
  if (!isBroker(url)) return
  tally.answers += 1
  const cookie = headers.get('set-cookie')
  const found = secrets.foundIn(`${text}\n${JSON.stringify([...headers])}`)
  watch('console cookie', cookie?.split(';')[0]?.split('=').slice(1).join('='))
  if (/\/api\/keys(\/[^/]+\/rotate)?$/.test(url.pathname))
    watch('broker key', /"key":"([^"]+)"/.exec(text)?.[1])
  if (/\/oauth\/device-code$/.test(url.pathname)) {
    watch('session id', SESSION_ID.exec(text)?.[1])
    watch('device code', DEVICE_CODE.exec(text)?.[1])
  }
  const told = TOLD.find(({ path }) => path.test(url.pathname))
  const wrong = found.filter((name) => !told?.names.test(name))
  complain('answer', wrong, `${url.pathname.split('/').slice(0, 3).join('/')}…`)
}

/** What commands are made to tell: whoever asks for a token gets one. */
const TOLD_BY: Readonly<Record<string, RegExp>> = { token: /^(access token|input)$/ }

/** What a command said, on either output. @throws LeakError if it shows a secret that it is not made to tell */
export function searchCommand(words: readonly string[], text: string): void {
  tally.answers += 1
  const told = TOLD_BY[words[0] ?? '']
  complain(
    'command',
    secrets.foundIn(text).filter((name) => !told?.test(name)),
    words[0],
  )
}

/**
 * What a broker that was a process has said.
 * @param pieceBytes more than a line has; a busy broker says more than one text can hold
 * @throws LeakError if there is a secret in it
 */
export function searchLog(file: string, pieceBytes = 64 * 1024 * 1024): void {
  tally.brokers += 1
  const found = new Set<string>()
  for (const lines of linesOf(file, pieceBytes)) {
    for (const name of secrets.foundIn(lines.replaceAll(WELCOME, ''))) found.add(name)
  }
  complain('log', [...found])
}

/** Whole lines, as many at a time as there is room for. */
function* linesOf(file: string, pieceBytes: number): Generator<string> {
  const descriptor = openSync(file, 'r')
  try {
    const room = Buffer.alloc(Math.min(pieceBytes, fstatSync(descriptor).size + 1))
    let kept = 0
    for (;;) {
      const read = readSync(descriptor, room, kept, room.length - kept, null)
      const piece = room.subarray(0, kept + read)
      const end = read === 0 ? piece.length : piece.lastIndexOf('\n') + 1 || piece.length
      yield piece.toString('utf8', 0, end)
      if (read === 0) return
      kept = piece.copy(room, 0, end)
    }
  } finally {
    closeSync(descriptor)
  }
}

/** What commands and processes leave behind. @throws LeakError if there is a secret in it */
export function searchDataDir(dataDir: string): void {
  if (existsSync(dataDir)) complain('database', secrets.foundIn(fileBytes(dataDir)))
}

/** Of a server, whose rows are in no file of ours. @throws LeakError if there is a secret in them */
export async function searchRows(database: Database, dataDir: string): Promise<void> {
  complain('database', secrets.foundIn(await databaseBytes(database, dataDir)))
}

/** Looks as long as the broker still runs. @returns what was found, to be joined with the rest of the search */
export async function lookBeforeEnd(origin: string, dataDir: string, token: string): Promise<Finding[]> {
  const metrics = await ask(`${origin}/metrics`, token)
  if (metrics === undefined) tally.notSearched.push('metrics')
  return [
    { place: 'metrics', names: secrets.foundIn(metrics ?? '') },
    // A write-ahead log is gone once the last connection is.
    { place: 'database', names: existsSync(dataDir) ? secrets.foundIn(fileBytes(dataDir)) : [] },
  ]
}

export interface Finding {
  readonly place: Place
  readonly names: readonly string[]
}

/** After its end. @throws LeakError if there is a secret in anything that it left */
export async function searchWhatIsLeft(
  config: Config,
  log: readonly string[],
  findings: readonly Finding[],
): Promise<void> {
  tally.brokers += 1
  const all = [...findings, { place: 'log' as const, names: secrets.foundIn(log.join('')) }]
  const stored = await storedText(config)
  if (stored === undefined) tally.notSearched.push('database')
  all.push({ place: 'database', names: secrets.foundIn(stored ?? '') })
  for (const { place, names } of all) complain(place, names)
}

function complain(place: Place, names: readonly string[], where = ''): void {
  const test = basename(process.argv[1] ?? '')
  const isAllowed = (name: string) =>
    OPT_OUTS.some((out) => out.test === test && out.place === place && (out.names?.includes(name) ?? true))
  const wrong = [...new Set(names)].filter((name) => !isAllowed(name))
  if (wrong.length > 0) throw new LeakError(`a secret is shown in the ${place} ${where}: ${wrong.join(', ')}`)
}

async function ask(url: string, token: string): Promise<string | undefined> {
  try {
    const headers = { authorization: `Bearer ${token}`, connection: 'close' }
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(ASK_MS) })
    return answer.ok ? await answer.text() : undefined
  } catch {
    return undefined
  }
}

/** Undefined if the database has gone, as it does in some tests. */
async function storedText({ mysqlUrl, dataDir }: Config): Promise<string | undefined> {
  if (!mysqlUrl) return existsSync(dataDir) ? fileBytes(dataDir) : undefined
  const database = openDatabase({ mysqlUrl, dataDir })
  try {
    const overdue = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ASK_MS).unref())
    return await Promise.race([databaseBytes(database, dataDir), overdue])
  } catch {
    return undefined
  } finally {
    await database.close()
  }
}

/** Whatever far end a token came from, it is a secret from the moment it is sealed. */
const seal = KeyRing.prototype.seal
KeyRing.prototype.seal = function (plaintext) {
  if (plaintext.startsWith('{')) {
    const found = JSON.parse(plaintext) as Record<string, unknown>
    for (const value of [found, ...Object.values(found)]) watchTokens(value)
  }
  if (!PROOFS.has(plaintext)) watch('sealed', plaintext)
  for (const value of textsIn(plaintext)) watch('sealed', value)
  return seal.call(this, plaintext)
}

process.on('exit', () => {
  if (tally.brokers + tally.answers === 0) return
  const { brokers, answers, tooShort, notSearched } = tally
  const gone = notSearched.length > 0 ? `; not to be had: ${notSearched.join(', ')}` : ''
  const short = tooShort.size > 0 ? `; ${tooShort.size} too short to look for` : ''
  const what = `${secrets.size} secrets (${secrets.names.join(', ')})`
  process.stdout.write(`# ${brokers} brokers and ${answers} answers searched for ${what}${short}${gone}\n`)
})

/** Secret inputs of a config are sealed together, as one JSON object; only the values of it are secrets. */
function textsIn(plaintext: string): string[] {
  if (!/^\{"[a-z][a-z0-9_]*":"/.test(plaintext)) return []
  try {
    const values = Object.values(JSON.parse(plaintext))
    return values.every((value) => typeof value === 'string') ? values : []
  } catch {
    return []
  }
}
