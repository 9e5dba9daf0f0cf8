/**
 * The one table: on stdout, and between two marker comments of docs/performance-measured.md.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { type Findings, type Gate, type Lab, versionOf } from './lab.ts'
import { PORTKEY_VERSION } from './peers.ts'

const BEGIN = '<!-- bench:begin -->'
const END = '<!-- bench:end -->'
const PAGE = fileURLToPath(new URL('../../docs/performance-measured.md', import.meta.url))

export interface Result {
  readonly gate: Gate
  readonly findings: Findings
}

export function renderTable(results: readonly Result[]): string {
  const lines = ['| gate | what | figure | required | reached |', '|---|---|---|---|---|']
  for (const { gate, findings } of results) {
    for (const { what, figure, required, reached } of findings.rows) {
      const said = reached === 'skipped' ? 'skipped' : reached ? 'yes' : '**no**'
      lines.push(`| ${gate.id} | ${what} | ${figure} | ${required} | ${said} |`)
    }
  }
  return lines.join('\n')
}

export function renderPage(lab: Lab, results: readonly Result[]): string {
  const notes = results
    .filter(({ findings }) => findings.notes.length > 0)
    .map(({ gate, findings }) =>
      [`**${gate.id}**, ${gate.title}:`, '', ...findings.notes.map((note) => `- ${note}`)].join('\n'),
    )
  return [describeRun(lab), renderTable(results), ...notes].join('\n\n')
}

/** The hand-written rest of the page stays as it is. */
export function writePage(content: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`docs/performance-measured.md has no ${BEGIN} … ${END}`)
  writeFileSync(PAGE, `${page.slice(0, begin + BEGIN.length)}\n${content}\n${page.slice(end)}`)
}

function describeRun(lab: Lab): string {
  const [first] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return [
    `Machine: ${cpus().length} cores, ${memory} GiB, ${first?.model.trim() ?? 'unknown CPU'}, ${process.platform}.`,
    `Versions: node ${process.versions.node}, ${toolsOf(lab)}, @fastify/http-proxy ${packageVersion('@fastify/http-proxy')}, @portkey-ai/gateway ${PORTKEY_VERSION}.`,
    `${lab.rounds} rounds of ${lab.seconds} s, ${new Date().toISOString().slice(0, 10)}. ${lab.disturbance.describe()}`,
  ].join('\n')
}

function toolsOf(lab: Lab): string {
  const upstream = lab.hasNginx
    ? `nginx ${versionOf('nginx', '-v')}`
    : 'no nginx (upstream: node:http in its own process)'
  const load = lab.hasWrk
    ? `wrk ${versionOf('wrk', '-v')}`
    : `no wrk (load: autocannon ${packageVersion('autocannon')})`
  return `${upstream}, ${load}`
}

function packageVersion(name: string): string {
  const require = createRequire(import.meta.url)
  return (require(`${name}/package.json`) as { version: string }).version
}
