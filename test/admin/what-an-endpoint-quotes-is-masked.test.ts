/** An endpoint that quotes the key it was called with, in whatever form. */
import t from 'tap'
import { json, setUp, UPSTREAM_KEY } from '../gateway/fixtures/upstream.ts'

const FORMS: ((key: string) => string)[] = [
  (key) => key,
  (key) => Buffer.from(key).toString('base64'),
  (key) => Buffer.from(`Bearer ${key}`).toString('base64url'),
  (key) => Buffer.from(key).toString('hex'),
  (key) => key.slice(0, 20),
]

t.test('neither doctor nor the connection test shows it', async (t) => {
  const { broker, configId, upstream } = await setUp(t)
  for (const write of FORMS) {
    const quoted = write(UPSTREAM_KEY)
    upstream.answer((_, response) =>
      json(response, { error: { code: 'bad', message: `no ${quoted} here` } }, 400),
    )
    const test = { base_url: `${upstream.origin}/v1`, api_key: UPSTREAM_KEY, model_id: 'm' }
    const answers = [
      await broker.admin('POST', `/api/models/configs/${configId}/diagnose`),
      await broker.admin('POST', '/api/models/configs/test-connection', test),
    ]
    for (const { body } of answers) {
      const text = JSON.stringify(body)
      t.match(text, /no [\w=]{0,12}… ?/)
      t.notOk(text.includes(quoted), quoted)
    }
  }
})
