/**
 * Bodies that no honest client sends: deep, cut off, poisoned, of the wrong shape.
 */
import type { Dice } from '../support/dice.ts'

const NAMES = ['', 'a', '\u0000', '\ud800', '🔑', 'x'.repeat(300), '../..', "';--", '<script>', '%s%n']

/** JSON, one a line. `ELSEWHERE` stands for a host that must never be called. */
const VALUES = `null
true
0
-1
9.5
1e400
1e-400
123456789012345678901234567890
""
"x"
"\\u0000"
"\\ud800"
"../../etc"
"file:///etc/passwd"
"https://user:pw@x/"
"https://ELSEWHERE/v1"
[]
[[[[]]]]
[null]
["a","a"]
[{"model_id":"a"}]
{}
{"a":"b"}
{"__proto__":1}
{"access_token":"a\\r\\nb"}
{"access_token":"x","resource_url":"https://ELSEWHERE"}`.split('\n')

export function malformedBody(dice: Dice, elsewhere: string): Buffer {
  const depth = dice.some(1, 60_000)
  const name = dice.one(NAMES)
  const value = dice.one(VALUES).replace('ELSEWHERE', elsewhere)
  const text = dice.one([
    () => '',
    () => '{}',
    () => 'null',
    () => '[]',
    () => `{"model":${value}}`,
    () => `{"model":"model-a","stream":${value},"messages":${value}}`,
    () => `{"model":"main/${name}"}`,
    () => `{"model":"main/toString","model":"main/__proto__"}`,
    () => `{"__proto__":{"isAdmin":true},"model":"model-a"}`,
    () => `{"constructor":{"prototype":{"x":1}},"name":"a"}`,
    () => '['.repeat(depth),
    () => `${'['.repeat(depth)}${']'.repeat(depth)}`,
    () => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
    () => `{"model":"${'\\'.repeat(depth)}`,
    () => `{"name":${JSON.stringify(name)},"provider":"strict","api_key":"k","models":${value}}`,
    () => `{"name":${value},"provider":${value},"models":[{"model_id":${value}}],"base_url":${value}}`,
    () => `{"name":"a","provider":"qwen","models":[],"oauth_token":${value}}`,
    () => `{"name":"a","provider":"sandbox","models":[],"oauth_session_id":${value}}`,
    () => `{"name":${JSON.stringify(name)},"models":${value},"aliases":${value},"updated_at":${value}}`,
    () => `{"name":${JSON.stringify(name)},"model_config_ids":${value},"requests_per_minute":${value}}`,
    () => `{"base_url":${value},"api_key":"k","model_id":"m"}`,
    () => `{"token":${value}}`,
    () => '{"model":"model-a"',
    () => '\ufeff{"model":"model-a"}',
  ])()
  const bytes = Buffer.from(text)
  if (!dice.oddly(0.5) || bytes.length === 0) return bytes
  bytes[dice.some(0, bytes.length - 1)] = dice.some(0, 255)
  return bytes
}
