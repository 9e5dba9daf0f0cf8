import t from 'tap'
import { BrokerError } from '../../src/base/errors.ts'
import type { LogLevel } from '../../src/base/log.ts'
import { createLog } from '../../src/base/log.ts'

const CANARY = 'sk-tb-canary-0123456789'

function capture(level: LogLevel = 'trace') {
  const lines: string[] = []
  const log = createLog(level, { write: (line) => void lines.push(line) })
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> }
}

t.test('a line is JSON with level, time and message', async (t) => {
  const { log, last } = capture()
  log.info({ requestId: 'r-1', status: 200 }, 'call')
  const { time, ...rest } = last()
  t.same(rest, { level: 'info', requestId: 'r-1', status: 200, msg: 'call' })
  t.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
})

t.test('a field nobody allowed is dropped, whatever it holds', async (t) => {
  const { log, lines, last } = capture()
  const slips: Record<string, unknown>[] = [
    { headers: { authorization: `Bearer ${CANARY}` } },
    { req: { headers: { cookie: CANARY } }, res: { body: CANARY } },
    { body: CANARY, payload: Buffer.from(CANARY), url: `/v1?key=${CANARY}` },
    { accessToken: CANARY, access_token: CANARY, refresh_token: CANARY, password: CANARY, apiKey: CANARY },
    { config: { deep: { er: [CANARY] } } },
    // an allowed name does not let an object through
    { detail: { token: CANARY }, why: new Error(CANARY), status: { toJSON: () => CANARY } },
    { error: new Error(CANARY), e: new Error(CANARY) },
    Object.create({ inherited: CANARY }) as Record<string, unknown>,
  ]
  for (const fields of slips) {
    log.error({ ...fields, requestId: 'r-1' }, 'slip')
    t.equal(last()['requestId'], 'r-1')
  }
  t.equal(lines.length, slips.length)
  t.notMatch(lines.join(), CANARY)
})

t.test('of an error come class, code, detail and place, not its message or its fields', async (t) => {
  const { log, lines, last } = capture()
  const cause = Object.assign(new Error(`connect ${CANARY}`), { config: { headers: CANARY }, sql: CANARY })
  log.error({ err: cause }, 'failed')
  t.match(last(), { error: 'Error', where: /^at .*log-lines/ })
  log.error({ err: new BrokerError('storage_unavailable', { cause, detail: 'ECONNREFUSED' }) }, 'failed')
  t.match(last(), { error: 'BrokerError', code: 'storage_unavailable', detail: 'ECONNREFUSED' })
  log.error({ err: { message: CANARY } }, 'not an error')
  log.error({ err: new AggregateError([cause], CANARY) }, 'failed')
  log.error(
    { err: Object.assign(new Error('x'), { code: { secret: CANARY }, detail: [{ secret: CANARY }] }) },
    'odd',
  )
  t.notMatch(lines.join(), CANARY)
})

t.test('an error given without a field name does not print its message', async (t) => {
  const { log, lines } = capture()
  log.error(new Error(CANARY), 'failed')
  t.notMatch(lines.join(), CANARY)
})

t.test('the level holds', async (t) => {
  const { log, lines } = capture('warn')
  log.info('no')
  log.warn('yes')
  t.equal(lines.length, 1)
  const silent = capture('silent')
  silent.log.fatal('no')
  t.equal(silent.lines.length, 0)
})
