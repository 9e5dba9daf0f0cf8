import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { jsonSchema, stepCountIs, streamText, tool } from 'ai'

const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: model } = process.env
const weather = tool({
  description: 'The weather of a city',
  inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
  execute: async () => 'sunny',
})
const { textStream } = streamText({
  model: createOpenAICompatible({ name: 'broker', baseURL, apiKey })(model),
  tools: { weather },
  stopWhen: stepCountIs(2),
  prompt: 'Is it sunny?',
})
for await (const text of textStream) process.stdout.write(text)
