/**
 * Environment and YAML, joined into one frozen Config.
 *
 * `config/default.yaml` and `config/providers/*.yaml` come first, CONFIG_FILE is merged over them.
 * A mistake stops the start with one line: file, line, field, and what to write instead.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { type Document, LineCounter, parseDocument } from 'yaml'
import { ConfigError, type Environment, type StartWarning, watched } from '../base/environment.ts'
import { firstMistake, type Schema } from '../base/mistake.ts'
import { type Provider, toProvider } from '../provider/provider.ts'
import { PROVIDER_FILE, type ProviderFile } from '../provider/provider-file.ts'
import { ProviderMistake } from '../provider/provider-mistake.ts'
import { readSettings, type Settings } from './settings.ts'
import { builtInKeyWarnings, openSecretWarnings } from './start-warnings.ts'

export interface Config extends Settings {
  readonly providers: ReadonlyMap<string, Provider>
  readonly allowInsecureLoopback: boolean
}

/** The project's own `config/` folder. */
const CONFIG_DIR = fileURLToPath(new URL('../../config/', import.meta.url))

const TOP_LEVEL = Compile(
  Type.Object(
    {
      allow_insecure_loopback: Type.Optional(Type.Boolean()),
      providers: Type.Optional(
        Type.Record(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,49}$' }), Type.Object({}), {
          additionalProperties: false,
        }),
      ),
    },
    { additionalProperties: false },
  ),
)
const PROVIDER = Compile(PROVIDER_FILE)

/** A parsed YAML file that still knows its line numbers. */
interface Layer {
  readonly file: string
  readonly document: Document
  readonly lines: LineCounter
  readonly content: Record<string, unknown>
}

export interface LoadOptions {
  /** Where the built-in sandbox listens; without it, providers with `sandbox:` addresses are left out. */
  readonly sandboxOrigin?: string | undefined
}

/** @throws ConfigError on the first mistake. */
export function loadConfig(settings: Settings, env: Environment, options: LoadOptions = {}): Config {
  const own = settings.configFile === undefined ? undefined : readLayer(settings.configFile)
  const topLevel = [readLayer(join(CONFIG_DIR, 'default.yaml')), ...(own ? [own] : [])]
  for (const layer of topLevel) check(TOP_LEVEL, layer.content, [{ layer, prefix: [] }])
  const top = Object.assign({}, ...topLevel.map((layer) => layer.content)) as {
    allow_insecure_loopback?: boolean
  }
  const allowInsecureLoopback = top.allow_insecure_loopback ?? false
  if (allowInsecureLoopback && settings.isProduction) {
    throw new ConfigError('allow_insecure_loopback is refused when NODE_ENV is production')
  }

  const shipped = readdirSync(join(CONFIG_DIR, 'providers'))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => readLayer(join(CONFIG_DIR, 'providers', file)))
  const overrides = (own?.content['providers'] ?? {}) as Record<string, Record<string, unknown>>
  const names = new Set([...shipped.map((layer) => basename(layer.file, '.yaml')), ...Object.keys(overrides)])

  const watch = watched(env)
  const providers = new Map<string, Provider>()
  for (const name of names) {
    const base = shipped.find((layer) => basename(layer.file, '.yaml') === name)
    const file = merge(base?.content ?? {}, overrides[name] ?? {})
    const needsSandbox = JSON.stringify(file).includes('"sandbox:/')
    if (needsSandbox && options.sandboxOrigin === undefined) continue
    const sources = [
      ...(own && overrides[name] ? [{ layer: own, prefix: ['providers', name] }] : []),
      ...(base ? [{ layer: base, prefix: [] }] : []),
    ]
    check(PROVIDER, file, sources)
    try {
      checkSisters(file as ProviderFile, names)
      const { sandboxOrigin } = options
      const around = { file: sources[0]?.layer.file ?? '', allowInsecureLoopback, sandboxOrigin }
      providers.set(name, toProvider(name, file as ProviderFile, { ...around, env: watch.env }))
    } catch (error) {
      if (error instanceof ProviderMistake) throw mistakeAt(error.path, error.message, sources)
      throw error
    }
  }
  const warnings = [
    ...builtInKeyWarnings(settings),
    ...settings.warnings,
    ...plainHttpWarnings(providers),
    ...openSecretWarnings(env, watch.asked),
  ]
  return Object.freeze({ ...settings, providers, allowInsecureLoopback, warnings })
}

/** @throws ProviderMistake */
function checkSisters({ api_key }: ProviderFile, names: ReadonlySet<string>): void {
  for (const [index, sister] of (api_key?.sisters ?? []).entries()) {
    if (names.has(sister)) continue
    throw new ProviderMistake(['api_key', 'sisters', String(index)], `names no provider: ${sister}`)
  }
}

function plainHttpWarnings(providers: ReadonlyMap<string, Provider>): StartWarning[] {
  return [...providers.values()].flatMap(({ file, upstream }) => {
    const hosts = [...upstream.httpHosts].join(', ')
    const message = `calls to ${hosts} go in plain http, where others can read prompts, answers and tokens`
    return hosts === '' ? [] : [{ setting: `${file}: upstream.allow_http_hosts`, message }]
  })
}

/** Settings and files in one step, for callers without a sandbox. */
export function readConfig(env: Environment, options: LoadOptions = {}): Config {
  return loadConfig(readSettings(env), env, options)
}

function readLayer(file: string): Layer {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const [problem] = document.errors
  if (problem) {
    throw new ConfigError(`${file}:${problem.linePos?.[0].line ?? 1}: ${problem.message.split('\n')[0]}`)
  }
  const content = withoutNulls(document.toJS() ?? {})
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ConfigError(`${file}:1: must be a mapping of names to values`)
  }
  return { file, document, lines, content: content as Record<string, unknown> }
}

interface Source {
  readonly layer: Layer
  readonly prefix: readonly string[]
}

function check(schema: Schema, content: unknown, sources: readonly Source[]): void {
  const mistake = firstMistake(schema, content)
  if (mistake) throw mistakeAt(mistake.path, mistake.message, sources)
}

/** Names the file and line of the field, or of its nearest parent that is written down. */
function mistakeAt(path: readonly string[], message: string, sources: readonly Source[]): ConfigError {
  const field = path.join('.') || 'the file'
  for (let depth = path.length; depth >= 0; depth -= 1) {
    for (const { layer, prefix } of sources) {
      const node = layer.document.getIn([...prefix, ...path.slice(0, depth)], true) as
        | { range?: [number, number, number] }
        | undefined
      if (!node?.range) continue
      return new ConfigError(`${layer.file}:${layer.lines.linePos(node.range[0]).line}: ${field} ${message}`)
    }
  }
  return new ConfigError(`${field} ${message}`)
}

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(over)) {
    const before = merged[name]
    merged[name] = isMapping(before) && isMapping(value) ? merge(before, value) : value
  }
  return merged
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isMapping(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([name, inner]) => [name, withoutNulls(inner)]),
  )
}
