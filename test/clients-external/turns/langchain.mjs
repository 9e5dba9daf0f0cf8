import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { ChatOpenAI } from '@langchain/openai'

const { OPENAI_BASE_URL: baseURL, OPENAI_MODEL: model } = process.env
const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const weather = {
  type: 'function',
  function: { name: 'weather', description: 'Of a city', parameters: schema },
}
const useResponsesApi = process.argv[2] === 'responses'
const chat = new ChatOpenAI({ model, useResponsesApi, configuration: { baseURL } }).bindTools([weather])

async function ask(messages) {
  let whole
  for await (const chunk of await chat.stream(messages)) whole = whole?.concat(chunk) ?? chunk
  return whole
}

const question = new HumanMessage('Is it sunny?')
const call = await ask([question])
const answers = call.tool_calls.map(({ id }) => new ToolMessage({ content: 'sunny', tool_call_id: id }))
console.log((await ask([question, call, ...answers])).text)
