/** How to use a key, ready to paste. */
import { addressOf } from '../root.ts'

export interface Snippet {
  readonly name: string
  readonly code: string
}

export function snippetsFor(key: string, model: string): readonly Snippet[] {
  const base = addressOf('/v1')
  return [
    {
      name: 'curl',
      code: `curl -N ${base}/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d '${JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Hello' }] }).replaceAll("'", "'\\''")}'`,
    },
    {
      name: 'Python',
      code: `from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(base)}, api_key=${JSON.stringify(key)})
answer = client.chat.completions.create(
    model=${JSON.stringify(model)},
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`,
    },
    {
      name: 'Node',
      code: `import OpenAI from 'openai'

const client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: ${JSON.stringify(key)} })
const answer = await client.chat.completions.create({
  model: ${JSON.stringify(model)},
  messages: [{ role: 'user', content: 'Hello' }],
})
console.log(answer.choices[0].message.content)`,
    },
    { name: 'env', code: `export OPENAI_BASE_URL=${base}\nexport OPENAI_API_KEY=${key}` },
  ]
}
