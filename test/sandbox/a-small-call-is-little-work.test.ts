/** The sandbox runs in the broker's own process: no call may hold that up, or fill its memory. */
import t from 'tap'
import { nextTurn } from '../../src/sandbox/turn.ts'
import { logIn, start } from './fixtures/client.ts'

const CONVERSATION = { prompt: '', question: '', toolAnswer: undefined }

t.test('a schema that requires a member many times', async (t) => {
  let read = 0
  let schema: object = {
    type: 'object',
    properties: {},
    get required() {
      read += 1
      return []
    },
  }
  for (let depth = 0; depth < 7; depth += 1)
    schema = { type: 'object', properties: { a: schema }, required: Array(4).fill('a') }
  nextTurn({ ...CONVERSATION, tool: { name: 'f', parameters: schema } })
  t.ok(read < 10, `${read} times`)
})

t.test('a schema of schemas of schemas', async (t) => {
  let property: object = { type: 'number' }
  for (let depth = 0; depth < 100_000; depth += 1) property = { anyOf: [property] }
  const parameters = { properties: { a: property }, required: ['a'] }
  t.match(nextTurn({ ...CONVERSATION, tool: { name: 'f', parameters } }), { input: { a: 'sandbox a' } })
})

t.test('a conversation is kept as long as it is short', async (t) => {
  const sandbox = await start(t)
  const { accessToken } = await logIn(sandbox)
  const headers = { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' }
  const respond = async (letters: number, previous_response_id?: string) => {
    const body = JSON.stringify({ model: 'sandbox-model', input: 'x'.repeat(letters), previous_response_id })
    const answer = await fetch(`${sandbox.origin}/v1/responses`, { method: 'POST', headers, body })
    t.equal(answer.status, 200)
    return ((await answer.json()) as { id: string }).id
  }
  const statusOf = async (id: string) =>
    (await fetch(`${sandbox.origin}/v1/responses/${id}`, { headers })).status
  const first = await respond(150_000)
  t.equal(await statusOf(first), 200)
  const second = await respond(150_000, first)
  t.equal(await statusOf(second), 404, 'both together are too long')
  t.equal(await statusOf(await respond(300_000)), 404)
  t.equal(await statusOf(first), 200)
})
