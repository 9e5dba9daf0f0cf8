/**
 * An agent that tells the model how a task ended must not be given the same task again: Claude Code's first tool starts
 * one in the background, and it would never come to an end.
 */
import t from 'tap'
import { ask } from '../gateway/fixtures/client.ts'
import { startBroker } from '../support/broker.ts'

const schema = { type: 'object', properties: {} }
const [first, second] = ['start a task', 'the task has ended'].map((content) => ({ role: 'user', content }))
const [call_id, id, tool_call_id, tool_use_id] = Array<string>(4).fill('call_1')
const offered = { type: 'function', name: 'task', parameters: schema }

interface Api {
  readonly body: object
  /** Of the conversation up to the second question. */
  readonly before: readonly object[]
  readonly list: 'messages' | 'input'
  /** `tool_choice`: any tool, and this one. */
  readonly asked: readonly unknown[]
  /** In an answer that calls a tool. */
  readonly calls: RegExp
}

const APIS: Record<string, Api> = {
  '/chat/completions': {
    body: { tools: [{ type: 'function', function: { name: 'task', parameters: schema } }] },
    list: 'messages',
    before: [
      {
        role: 'assistant',
        tool_calls: [{ id, type: 'function', function: { name: 'task', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id, content: 'begun' },
      { role: 'assistant', content: 'begun' },
    ],
    asked: ['required', { type: 'function', function: { name: 'task' } }],
    calls: /"tool_calls":\[\{/,
  },
  '/responses': {
    body: { tools: [offered] },
    list: 'input',
    before: [
      { type: 'function_call', call_id, name: 'task', arguments: '{}' },
      { type: 'function_call_output', call_id, output: 'begun' },
      { role: 'assistant', content: 'begun' },
    ],
    asked: ['required', { type: 'function', name: 'task' }],
    calls: /"type":"function_call"/,
  },
  '/messages': {
    body: { max_tokens: 99, tools: [{ name: 'task', input_schema: schema }] },
    list: 'messages',
    before: [
      { role: 'assistant', content: [{ type: 'tool_use', id, name: 'task', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id, content: 'begun' }] },
      { role: 'assistant', content: 'begun' },
    ],
    asked: [{ type: 'any' }, { type: 'tool', name: 'task' }],
    calls: /"type":"tool_use"/,
  },
}

t.test('whatever API it is held in', async (t) => {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  for (const [path, { body, list, before, asked, calls }] of Object.entries(APIS)) {
    const answer = async (items: readonly unknown[], more = {}) => {
      const request = { model: 'sandbox-model', ...body, [list]: items, ...more }
      return (await ask(`${broker.origin}/v1${path}`, { key, body: request })).body.toString()
    }
    t.match(await answer([first]), calls, `${path}: the first question`)
    const whole = [first, ...before, second]
    t.match(await answer(whole), /You said: “the task has ended”/, `${path}: the second`)
    for (const tool_choice of asked)
      t.match(await answer(whole, { tool_choice }), calls, JSON.stringify(tool_choice))
  }
})
