/**
 * S6: a client that makes up ten thousand models in each way in which a call can name one: rows of usage and series of
 * metrics are no more than what accounts list.
 */

import { must } from '../../support/broker.ts'
import type { BrokerProcess } from '../../support/broker-process.ts'
import {
  BOOKED,
  invent,
  MAX_ROWS,
  seriesIn,
  settle,
  startEndpoint,
  WAYS,
} from '../../usage/fixtures/inventing-client.ts'
import { plainProvider, startBroker } from '../broker.ts'
import { openBeside } from '../fill-database.ts'
import type { Findings, Gate, Lab } from '../lab.ts'

const MODELS = 10_000
const SHORT = 500

export const inventedModels: Gate = {
  id: 'S6',
  title: `a client that makes up ${MODELS.toLocaleString('en')} models`,
  async run(lab: Lab): Promise<Findings> {
    const broker = await startBroker(lab, { providers: plainProvider(await startEndpoint(lab)) })
    const client = await settle(broker, 'bench')
    for (const way of Object.keys(WAYS)) await invent(client, way, 1)
    const before = new Set(seriesIn(await metricsOf(broker)))
    const notes: string[] = []
    for (const way of Object.keys(WAYS)) {
      const statuses = await invent(client, way, lab.isShort ? SHORT : MODELS)
      const said = [...statuses].map(([status, calls]) => `${calls} x ${status}`).join(', ')
      lab.say(`S6 a model ${way}: ${said}`)
      notes.push(`a model ${way}: ${said}`)
    }
    await must(broker.admin('GET', '/api/usage')) // what was counted so far is written
    const { rows, hours } = await booksOf(broker)
    const added = seriesIn(await metricsOf(broker)).filter((series) => !before.has(series))
    const unknown = rows.filter((model) => !BOOKED.includes(model))
    const most = hours * MAX_ROWS
    return {
      rows: [
        {
          what: 'rows of usage',
          figure: `${rows.length}`,
          required: `<= ${most}`,
          reached: rows.length <= most,
        },
        {
          what: 'made-up names in them',
          figure: `${unknown.length}`,
          required: '0',
          reached: unknown.length === 0,
        },
        { what: 'series that came', figure: `${added.length}`, required: '0', reached: added.length === 0 },
      ],
      notes,
    }
  },
}

async function metricsOf(broker: BrokerProcess): Promise<string> {
  return must(broker.admin('GET', '/metrics'))
}

async function booksOf({ dataDir }: BrokerProcess): Promise<{ rows: string[]; hours: number }> {
  const database = openBeside({ env: { DATA_DIR: dataDir }, keys: [] })
  const rows = await database.run((db) => db.selectFrom('usage_hourly').select(['model', 'hour']).execute())
  await database.close()
  return { rows: rows.map(({ model }) => model), hours: new Set(rows.map(({ hour }) => hour)).size }
}
