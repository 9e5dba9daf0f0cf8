/**
 * A YAML file of settings, which can tell the line of a mistake.
 *
 * `npm run build` writes down what the shipped files say: as long as a file's text is the same, nobody parses it at the
 * start, nor looks for mistakes that a build would have found.
 */
import { readFileSync } from 'node:fs'
import { LineCounter, parseDocument } from 'yaml'
import { sha256 } from '../base/digest.ts'
import { ConfigError } from '../base/environment.ts'

export interface Layer {
  readonly file: string
  readonly text: string
  readonly content: Record<string, unknown>
  /** A build has found nothing wrong with it. */
  readonly isProven: boolean
}

/** What files say, by the SHA-256 of their texts. */
export type Proven = Readonly<Record<string, Record<string, unknown>>>

/** @throws ConfigError for one that cannot be read, or is no mapping */
export function readLayer(file: string, proven: Proven = {}): Layer {
  const text = readText(file)
  const known = proven[sha256(text)]
  return { file, text, content: known ?? contentOf(file, text), isProven: known !== undefined }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function contentOf(file: string, text: string): Record<string, unknown> {
  const document = parseDocument(text, { lineCounter: new LineCounter() })
  const [problem] = document.errors
  if (problem) {
    throw new ConfigError(`${file}:${problem.linePos?.[0].line ?? 1}: ${problem.message.split('\n')[0]}`)
  }
  const content = withoutNulls(document.toJS() ?? {})
  if (!isMapping(content)) throw new ConfigError(`${file}:1: must be a mapping of names to values`)
  return content
}

export interface Source {
  readonly layer: Layer
  readonly prefix: readonly string[]
}

/** Names the file and line of the field, or of its nearest parent that is written down. */
export function mistakeAt(path: readonly string[], message: string, sources: readonly Source[]): ConfigError {
  const field = path.join('.') || 'the file'
  const lineOf = sources.map(({ layer }) => linesOf(layer.text))
  for (let depth = path.length; depth >= 0; depth -= 1) {
    for (const [index, { layer, prefix }] of sources.entries()) {
      const line = lineOf[index]?.([...prefix, ...path.slice(0, depth)])
      if (line !== undefined) return new ConfigError(`${layer.file}:${line}: ${field} ${message}`)
    }
  }
  return new ConfigError(`${field} ${message}`)
}

/** @returns the line of what stands at a path; undefined if nothing does */
function linesOf(text: string): (path: readonly string[]) => number | undefined {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  return (path) => {
    const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined
    return node?.range && lines.linePos(node.range[0]).line
  }
}

export function isMapping(value: unknown): value is Record<string, unknown> {
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
