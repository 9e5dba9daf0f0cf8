/**
 * Environment and YAML, joined into one frozen Config.
 *
 * `config/default.yaml` and `config/providers/*.yaml` come first, CONFIG_FILE is merged over them.
 * A mistake stops the start with one line: file, line, field, and what to write instead.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Type, { type TSchema } from 'typebox'
import { sha256 } from '../base/digest.ts'
import { ConfigError, type Environment, type StartWarning, watched } from '../base/environment.ts'
import { LazyMap } from '../base/lazy-map.ts'
import { firstMistake } from '../base/mistake.ts'
import { type Provider, type ProviderSurroundings, toProvider } from '../provider/provider.ts'
import { PROVIDER_FILE, type ProviderFile } from '../provider/provider-file.ts'
import { ProviderMistake } from '../provider/provider-mistake.ts'
import { isMapping, type Layer, mistakeAt, type Proven, readLayer, type Source } from './layer.ts'
import { readSettings, type Settings } from './settings.ts'
import { builtInKeyWarnings, openSecretWarnings } from './start-warnings.ts'

export interface Config extends Settings {
  readonly providers: ReadonlyMap<string, Provider>
  readonly allowInsecureLoopback: boolean
}

/** The project's own `config/` folder. */
const CONFIG_DIR = fileURLToPath(new URL('../../config/', import.meta.url))
const DEFAULTS = join(CONFIG_DIR, 'default.yaml')

/** What the last build has found nothing wrong with; absent where nothing is built. */
const PROVEN_FILE = fileURLToPath(new URL('../../dist/proven-files.json', import.meta.url))

const TOP_LEVEL = Type.Object(
  {
    allow_insecure_loopback: Type.Optional(Type.Boolean()),
    providers: Type.Optional(
      Type.Record(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,49}$' }), Type.Object({}), {
        additionalProperties: false,
      }),
    ),
  },
  { additionalProperties: false },
)

export interface LoadOptions {
  /** Where the built-in sandbox listens; without it, providers with `sandbox:` addresses are left out. */
  readonly sandboxOrigin?: string | undefined
}

/** @throws ConfigError on the first mistake. */
export function loadConfig(settings: Settings, env: Environment, options: LoadOptions = {}): Config {
  const own = settings.configFile === undefined ? undefined : readLayer(settings.configFile)
  const proven = readProven()
  const topLevel = [readLayer(DEFAULTS, proven), ...(own ? [own] : [])]
  for (const layer of topLevel) check(TOP_LEVEL, layer.content, [{ layer, prefix: [] }])
  const top = Object.assign({}, ...topLevel.map((layer) => layer.content)) as {
    allow_insecure_loopback?: boolean
  }
  const allowInsecureLoopback = top.allow_insecure_loopback ?? false
  if (allowInsecureLoopback && settings.isProduction) {
    throw new ConfigError('allow_insecure_loopback is refused when NODE_ENV is production')
  }

  const shipped = shippedFiles().map((file) => readLayer(file, proven))
  const watch = watched(env)
  const { sandboxOrigin } = options
  const providers = readProviders(shipped, own, { env: watch.env, allowInsecureLoopback, sandboxOrigin })
  const warnings = [
    ...builtInKeyWarnings(settings),
    ...settings.warnings,
    ...plainHttpWarnings(providers.made()),
    ...openSecretWarnings(env, watch.asked),
  ]
  return Object.freeze({ ...settings, providers, allowInsecureLoopback, warnings })
}

/** @param own whose providers are merged by name over the shipped ones */
function readProviders(
  shipped: readonly Layer[],
  own: Layer | undefined,
  around: Omit<ProviderSurroundings, 'file'>,
): LazyMap<string, Provider> {
  const bases = new Map(shipped.map((layer) => [basename(layer.file, '.yaml'), layer]))
  const overrides = overridesOf(own)
  const names = new Set([...bases.keys(), ...Object.keys(overrides)])
  const providers = new LazyMap<string, Provider>()
  for (const name of names) {
    const base = bases.get(name)
    const file = merge(base?.content ?? {}, overrides[name] ?? {})
    const needsSandbox = JSON.stringify(file).includes('"sandbox:/')
    if (needsSandbox && around.sandboxOrigin === undefined) continue
    const sources = [
      ...(own && overrides[name] ? [{ layer: own, prefix: ['providers', name] }] : []),
      ...(base ? [{ layer: base, prefix: [] }] : []),
    ]
    const read = () => readProvider(name, file, { sources, names, around })
    const isAsBuilt = base?.isProven && sources.length === 1 && !needsSandbox
    if (isAsBuilt && readsNothing(base, around.env)) {
      providers.setLater(name, read)
    } else providers.set(name, read())
  }
  return providers
}

/** Whether it comes to what the build made of it, which cannot fail: nothing that it asks of the environment is there. */
function readsNothing({ text, content }: Layer, env: Environment): boolean {
  if ('aws_sigv4' in content) return false
  const asked = [...text.matchAll(/\benv:(\w+)/g)].flatMap(([, name = '']) => [name, `${name}_FILE`])
  return asked.every((name) => env[name] === undefined)
}

interface Reading {
  /** Where a mistake is looked for. */
  readonly sources: readonly Source[]
  /** Of all providers. */
  readonly names: ReadonlySet<string>
  readonly around: Omit<ProviderSurroundings, 'file'>
}

function readProvider(name: string, content: object, { sources, names, around }: Reading): Provider {
  check(PROVIDER_FILE, content, sources)
  const file = content as ProviderFile
  try {
    checkSisters(file, names)
    return toProvider(name, file, { ...around, file: sources[0]?.layer.file ?? '' })
  } catch (error) {
    if (error instanceof ProviderMistake) throw mistakeAt(error.path, error.message, sources)
    throw error
  }
}

function overridesOf(own: Layer | undefined): Record<string, Record<string, unknown>> {
  return (own?.content['providers'] ?? {}) as Record<string, Record<string, unknown>>
}

/** Nothing listens there: its addresses are shown, and not called. */
const NO_SANDBOX = 'http://127.0.0.1'

/**
 * The providers of one file, judged as a start would judge them: one that stands by itself, or those that a CONFIG_FILE
 * names, merged over the shipped ones.
 * @throws ConfigError on the first mistake
 */
export function readProviderFile(path: string, env: Environment): Provider[] {
  const layer = readLayer(path)
  const shipped = shippedFiles().map((file) => readLayer(file))
  if (!('providers' in layer.content)) {
    const name = basename(path).replace(/\.ya?ml$/, '')
    const names = new Set([name, ...shipped.map(({ file }) => basename(file, '.yaml'))])
    const around = { env, allowInsecureLoopback: false, sandboxOrigin: NO_SANDBOX }
    return [readProvider(name, layer.content, { sources: [{ layer, prefix: [] }], names, around })]
  }
  check(TOP_LEVEL, layer.content, [{ layer, prefix: [] }])
  const allowInsecureLoopback = layer.content['allow_insecure_loopback'] === true
  const around = { env, allowInsecureLoopback, sandboxOrigin: NO_SANDBOX }
  const providers = readProviders(shipped, layer, around)
  return Object.keys(overridesOf(layer)).flatMap((name) => providers.get(name) ?? [])
}

/** @throws ProviderMistake */
function checkSisters({ api_key }: ProviderFile, names: ReadonlySet<string>): void {
  for (const [index, sister] of (api_key?.sisters ?? []).entries()) {
    if (names.has(sister)) continue
    throw new ProviderMistake(['api_key', 'sisters', String(index)], `names no provider: ${sister}`)
  }
}

/** No shipped file allows it. */
function plainHttpWarnings(providers: readonly Provider[]): StartWarning[] {
  return providers.flatMap(({ file, upstream }) => {
    const hosts = [...upstream.httpHosts].join(', ')
    const message = `calls to ${hosts} go in plain http, where others can read prompts, answers and tokens`
    return hosts === '' ? [] : [{ setting: `${file}: upstream.allow_http_hosts`, message }]
  })
}

/** Settings and files in one step, for callers without a sandbox. */
export function readConfig(env: Environment, options: LoadOptions = {}): Config {
  return loadConfig(readSettings(env), env, options)
}

function shippedFiles(): string[] {
  const folder = join(CONFIG_DIR, 'providers')
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => join(folder, file))
}

function readProven(): Proven {
  try {
    return JSON.parse(readFileSync(PROVEN_FILE, 'utf8')) as Proven
  } catch {
    return {}
  }
}

/** For the build: what the shipped files say. @throws ConfigError on the first mistake */
export function proveShipped(): Proven {
  const defaults = readLayer(DEFAULTS)
  check(TOP_LEVEL, defaults.content, [{ layer: defaults, prefix: [] }])
  const shipped = shippedFiles().map((file) => readLayer(file))
  readProviders(shipped, undefined, { env: {}, allowInsecureLoopback: false, sandboxOrigin: NO_SANDBOX })
  return Object.fromEntries([defaults, ...shipped].map(({ text, content }) => [sha256(text), content]))
}

/** @throws ConfigError */
function check(schema: TSchema, content: unknown, sources: readonly Source[]): void {
  if (sources.every(({ layer }) => layer.isProven)) return
  const mistake = firstMistake(schema, content)
  if (mistake) throw mistakeAt(mistake.path, mistake.message, sources)
}

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(over)) {
    const before = merged[name]
    merged[name] = isMapping(before) && isMapping(value) ? merge(before, value) : value
  }
  return merged
}
