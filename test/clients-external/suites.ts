/**
 * The API suites of the SDKs' own repositories: straight to a mock of their specification, and through the broker to
 * the same mock, with a key over one account and with one over three.
 */
import { cpSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Test } from 'tap'
import { fetchBy, installPackages, makeHome, runClient } from './installed.ts'
import { startAnthropicMock, startOpenAiMock } from './specifications.ts'
import { standBetween, WAYS } from './two-sides.ts'

export interface Suite {
  readonly name: string
  readonly repository: string
  readonly sdk: string
  /** Shipped file of the accounts. */
  readonly provider: string
  /** What its clients' base URL ends in, and the mock's does not. */
  readonly prefix: string
  startMock(t: Pick<Test, 'teardown'>, home: string, folder: string): Promise<string>
}

export const SUITES: Readonly<Record<'openai' | 'anthropic', Suite>> = {
  openai: {
    name: "openai-node's API suite",
    repository: 'https://github.com/openai/openai-node',
    sdk: 'openai',
    provider: 'openai',
    prefix: '/v1',
    startMock: startOpenAiMock,
  },
  anthropic: {
    name: "anthropic-sdk-typescript's API suite",
    repository: 'https://github.com/anthropics/anthropic-sdk-typescript',
    sdk: '@anthropic-ai/sdk',
    provider: 'anthropic',
    prefix: '',
    startMock: startAnthropicMock,
  },
}

export interface SuiteReport {
  readonly version: string
  /** A line for each way: counts, and what arrived as it was sent. */
  readonly lines: readonly string[]
  readonly differences: readonly string[]
}

/** What runs it: the runner of its own repository, and the mock that OpenAI's names. */
const RUNNER = ['jest@30', '@swc/core', '@swc/jest', 'standardwebhooks', '@stdy/cli']

/**
 * @param path a checkout of its repository, or a folder with its `api-resources` and `@` the SDK's version; default
 *   fetched
 * @throws NotToBeHad
 */
export async function runSuite(
  t: Pick<Test, 'teardown'>,
  suite: Suite,
  path: string | undefined,
): Promise<SuiteReport> {
  const home = makeHome(t)
  const [, place, given] = /^(.+?)(?:@([^@/]+))?$/.exec(path ?? join(home, 'repository')) ?? []
  const folder = resolve(place ?? '')
  if (path === undefined)
    await fetchBy(home, ['git', 'clone', '--quiet', '--depth=1', suite.repository, folder])
  const version = await installPackages(home, [`${suite.sdk}@${given ?? versionIn(folder)}`, ...RUNNER])
  const lines = layTests(home, folder).map((name) => `left out, for it needs what is not there: ${name}`)
  const sides = await standBetween(t, await suite.startMock(t, home, folder), suite)
  const differences: string[] = []
  let direct = ''
  for (const way of WAYS) {
    await sides.turnTo(way)
    const { counts, failures } = await runTests(home, sides.origin + suite.prefix)
    const { sent, alike, own, differences: found } = sides.compare()
    lines.push(`${way}: ${counts}; ${alike} of ${sent} requests alike, ${own} answered by the broker itself`)
    direct ||= counts
    if (counts !== direct) differences.push(`${way}: ${counts}, and direct ${direct}`)
    differences.push(...[...failures, ...found].map((one) => `${way}: ${one}`))
  }
  return { version, lines, differences }
}

/** What its SDK is at; a folder without a package takes the newest. */
function versionIn(folder: string): string {
  const file = join(folder, 'package.json')
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : 'latest'
}

/** Into `home/tests`: what calls the API, and what that needs. @returns what is left out, for what it needs is not there */
function layTests(home: string, folder: string): string[] {
  const tests = join(home, 'tests')
  const isRepository = existsSync(join(folder, 'tests'))
  if (isRepository) cpSync(join(folder, 'tests'), tests, { recursive: true })
  else cpSync(join(folder, 'api-resources'), join(tests, 'api-resources'), { recursive: true })
  const leftOut: string[] = []
  for (const name of globSync('api-resources/**/*.test.ts', { cwd: tests })) {
    const file = join(tests, name)
    const text = readFileSync(file, 'utf8')
    const needed = [...text.matchAll(/from '(\.[^']+)'/g)].map(
      ([, path = '']) => `${join(dirname(file), path)}.ts`,
    )
    const callsApi = text.includes('TEST_API_BASE_URL')
    const isWhole = needed.every((path) => existsSync(path))
    if (callsApi && !isWhole) leftOut.push(name)
    if (!callsApi || !isWhole) rmSync(file)
  }
  return leftOut
}

interface Jest {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

async function runTests(home: string, base: string): Promise<{ counts: string; failures: string[] }> {
  const config = {
    rootDir: home,
    testMatch: ['<rootDir>/tests/api-resources/**/*.test.ts'],
    testTimeout: 60_000, // of a machine with much else to do
    transform: { '^.+\\.ts$': '@swc/jest' },
  }
  writeFileSync(join(home, 'jest.config.json'), JSON.stringify(config))
  const [runner, results] = [join(home, 'node_modules/.bin/jest'), join(home, 'results.json')]
  const command = [runner, '--config=jest.config.json', '--runInBand', '--json', `--outputFile=${results}`]
  const { output } = await runClient(home, command, { TEST_API_BASE_URL: base })
  if (!existsSync(results)) throw new Error(`jest gave no results: ${output}`)
  const jest: Jest = JSON.parse(readFileSync(results, 'utf8'))
  rmSync(results)
  const failures = jest.testResults.flatMap(({ name, message, assertionResults }) => {
    const failed = assertionResults.filter(({ status }) => status === 'failed')
    if (assertionResults.length === 0) return [`${relative(home, name)}: ${message}`]
    return failed.map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join('\n')}`)
  })
  const { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped } = jest
  return { counts: `${passed} passed, ${failed} failed, ${skipped} skipped`, failures }
}
