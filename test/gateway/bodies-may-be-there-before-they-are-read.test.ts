import t from 'tap'
import { rawExchange } from './fixtures/client.ts'
import { json, readAll, setUp } from './fixtures/upstream.ts'

const FIELD = '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nmodel-a\r\n'
const FILE = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound\r\n'
const MULTIPART = 'multipart/form-data; boundary=b'

/** What a client may write in one go with its head. */
const BODIES = {
  JSON: ['application/json', '{"model":"model-a","input":"x"}'],
  'a form, its model first': [MULTIPART, `${FIELD}${FILE}--b--\r\n`],
  'a form, its model last': [MULTIPART, `${FILE}${FIELD}--b--\r\n`],
  'a form without a model': [MULTIPART, `${FILE}--b--\r\n`],
  'a form of fields': ['application/x-www-form-urlencoded', 'model=model-a&input=x'],
  sound: ['audio/wav', 'sound'],
} as const

for (const [name, [type, body]] of Object.entries(BODIES)) {
  t.test(`${name} that waited for its turn goes up whole`, async (t) => {
    const { broker, upstream, key } = await setUp(t)
    const seen: string[] = []
    upstream.answer(async (request, response) => {
      seen.push((await readAll(request)).toString())
      json(response, { ok: true })
    })
    const head = (more: string) =>
      `POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\n${more}\r\n`
    const written = head(`Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n`) + body
    const text = await rawExchange(broker.origin, head('Content-Length: 0\r\n') + written.repeat(2))
    t.same(text.match(/^HTTP\/1\.1 \d+/gm), Array(3).fill('HTTP/1.1 200'), text)
    t.same(seen, ['', body, body])
  })
}
