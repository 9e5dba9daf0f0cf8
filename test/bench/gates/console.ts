/**
 * S7: the console of 10,000 accounts. How long after a click, a letter, a new account or a change does the page show it?
 *
 * Timed in the page, up to the frame that shows it: from what begins it there, or from the API's answer to the change.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import { missingBrowser, openTab, signIn } from '../../browser/fixtures/browser.ts'
import { ADMIN_TOKEN, must } from '../../support/broker.ts'
import type { BrokerProcess } from '../../support/broker-process.ts'
import { plainProvider, startBroker } from '../broker.ts'
import { type FilledDatabase, fillUnderOneKey, openBeside } from '../fill-database.ts'
import type { Findings, Gate, Lab, Row } from '../lab.ts'
import { median } from '../statistics.ts'

const ACCOUNTS = 10_000
const MAX_MS = 300
const MAX_ELEMENTS = 5_000
/** Each account was used in each of these. */
const HOURS = 6
const HOUR_MS = 3_600_000
const ROWS_A_STATEMENT = 2_000
/** Between two steps, for what the last one began to end. */
const PAUSE_MS = 1_000
/** Never called. */
const NO_UPSTREAM = 'http://127.0.0.1:9'

interface Step {
  readonly what: string
  /** Before it, and not timed: what the page is to do. */
  readonly before?: string
  /** What the page is to do, or what is to be done at the broker. */
  readonly begin: string | (() => Promise<unknown>)
  /** An expression: whether the page shows it. */
  readonly shown: string
}

const SEARCH = `document.querySelector('input[type=search]')`
const rowWith = (...texts: string[]) =>
  `[...document.querySelectorAll('.rows.configs .row')].some(({ textContent }) => ${JSON.stringify(texts)}.every((text) => textContent.includes(text)))`
const saying = (text: string) =>
  `document.querySelector('main').textContent.includes(${JSON.stringify(text)})`
const searchFor = (text: string) => `${SEARCH}.value = '${text}'; ${SEARCH}.dispatchEvent(new Event('input'))`
const press = (name: string) =>
  `[...document.querySelectorAll('.paging button')].find(({ textContent }) => textContent === '${name}').click()`

export const consoleOfMany: Gate = {
  id: 'S7',
  title: `the console of ${ACCOUNTS.toLocaleString('en')} accounts`,
  async run(lab: Lab): Promise<Findings> {
    if (missingBrowser !== undefined) return { rows: [skipped(missingBrowser)], notes: [] }
    const providers = plainProvider(NO_UPSTREAM)
    const filled = await fillUnderOneKey(lab, providers, ACCOUNTS)
    await fillUsage(filled)
    const broker = await startBroker(lab, { providers, env: { DATA_DIR: filled.env['DATA_DIR'] } })
    const { page } = await openTab(lab)
    await signIn({ broker: { origin: broker.origin, adminToken: ADMIN_TOKEN }, page })
    const times = new Map<string, number[]>()
    let elements = 0
    for (let round = 0; round < lab.rounds; round += 1) {
      for (const step of stepsOf(broker, round)) {
        const ms = await lab.disturbance.measure(`S7 ${step.what}`, () => play(page, step))
        times.set(step.what, [...(times.get(step.what) ?? []), ms])
        elements = Math.max(elements, await page.evaluate<number>(`document.querySelectorAll('*').length`))
      }
      const last = [...times.values()].map((of) => of.at(-1)?.toFixed(0))
      lab.say(`S7 round ${round + 1} of ${lab.rounds}: ${last.join(', ')} ms`)
    }
    return { rows: [...[...times].map(([what, of]) => rowOf(what, of)), sizeRow(elements)], notes: [] }
  },
}

function stepsOf(broker: BrokerProcess, round: number): Step[] {
  const name = `new-${round}`
  const fields = { name, provider: 'bench', models: [{ model_id: 'm' }], api_key: 'sk-bench' }
  let id = ''
  return [
    {
      what: 'the list, from another page',
      before: `location.hash = '#/audit'`,
      begin: `location.hash = '#/overview'`,
      shown: saying('1–20 of 10,0'),
    },
    { what: 'its next page', begin: press('Next'), shown: saying('21–40 of 10,0') },
    {
      what: 'a search by name, from the last letter',
      begin: searchFor(`bench-${4_000 + round}`),
      shown: `document.querySelectorAll('.rows.configs .row').length === 1 && ${rowWith(`bench-${4_000 + round}`)}`,
    },
    {
      what: 'a new account, on top of the list',
      before: searchFor(''),
      begin: async () => {
        id = (await must(broker.admin('POST', '/api/models/configs', fields))).id
      },
      shown: rowWith(name),
    },
    {
      what: 'an account is disabled',
      begin: () => must(broker.admin('PATCH', `/api/models/configs/${id}/status?is_active=false`)),
      shown: rowWith(name, 'Disabled'),
    },
  ]
}

async function play(page: Page, { before, begin, shown }: Step): Promise<number> {
  if (before !== undefined) await page.evaluate(before)
  await sleep(PAUSE_MS)
  const begunInPage = typeof begin === 'string' ? begin : ''
  const seen = page.evaluate<{ from: number; at: number }>(`new Promise((resolve) => {
    const from = Date.now();
    ${begunInPage};
    const look = () => (${shown}) ? resolve({ from, at: Date.now() }) : requestAnimationFrame(look);
    requestAnimationFrame(look)
  })`)
  if (typeof begin === 'string') return seen.then(({ from, at }) => at - from)
  await begin()
  const answeredAt = Date.now()
  return Math.max(0, (await seen).at - answeredAt)
}

async function fillUsage(filled: FilledDatabase): Promise<void> {
  const database = openBeside(filled)
  const configs = await database.run((db) => db.selectFrom('model_configs').select('id').execute())
  const now = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
  const counts = { model: 'm', requests: 10, errors: 1, prompt_tokens: 1_000, completion_tokens: 1_000 }
  for (let ago = 0; ago < HOURS; ago += 1) {
    const rows = configs.map(({ id }) => ({
      hour: now - ago * HOUR_MS,
      key_id: 'k',
      config_id: id,
      ...counts,
    }))
    for (let from = 0; from < rows.length; from += ROWS_A_STATEMENT) {
      const some = rows.slice(from, from + ROWS_A_STATEMENT)
      await database.run((db) => db.insertInto('usage_hourly').values(some).execute())
    }
  }
  await database.close()
}

function rowOf(what: string, ms: readonly number[]): Row {
  return {
    what,
    figure: `${median(ms).toFixed(0)} ms (worst ${Math.max(...ms).toFixed(0)})`,
    required: `<= ${MAX_MS} ms`,
    reached: median(ms) <= MAX_MS,
  }
}

function sizeRow(elements: number): Row {
  return {
    what: 'elements in the page, at most',
    figure: `${elements}`,
    required: `<= ${MAX_ELEMENTS}`,
    reached: elements <= MAX_ELEMENTS,
  }
}

function skipped(why: string): Row {
  return { what: 'the console', figure: why, required: `<= ${MAX_MS} ms`, reached: 'skipped' }
}
