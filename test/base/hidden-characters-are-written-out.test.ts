/** Names and reasons are other people's texts: none of them can rewrite a terminal or a log. */
import t from 'tap'
import { callLogger, createLog } from '../../src/base/log.ts'
import { visible } from '../../src/base/visible.ts'
import { paint, table } from '../../src/cli/output.ts'

const CODES = [
  0, 7, 8, 0x0d, 0x1b, 0x7f, 0x80, 0x85, 0x9b, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e,
  0x2066, 0x2069, 0xfeff,
]

t.test('each is written out in tables, log lines and lines of calls', (t) => {
  const lines: string[] = []
  const log = createLog('info', { write: (line) => void lines.push(line) })
  for (const code of CODES) {
    const character = String.fromCharCode(code)
    const name = `a${character}b`
    const written = `a\\u${code.toString(16).padStart(4, '0')}b`
    t.equal(visible(name), written)
    t.ok(table([[name, 'x']]).includes(written))
    t.notOk(table([[name, 'x']]).includes(character))
    lines.length = 0
    log.warn({ why: name, setting: [name] }, 'odd')
    callLogger(log)({
      ...{ requestId: 'r', keyId: 'k', configId: 'c', status: 200, attempt: 1, ms: 1 },
      ...{ upstreamRequestId: name, model: name, outcome: undefined },
    })
    t.equal(lines.length, 2)
    for (const line of lines) {
      t.notOk(line.includes(character), `${written} ${JSON.stringify(line)}`)
      t.equal(JSON.parse(line).model ?? JSON.parse(line).why, written)
    }
  }
  t.equal(visible('名字 and\n\tlines'), '名字 and\n\tlines')
  t.equal(paint('good', 'ok'), 'ok')
  t.end()
})
