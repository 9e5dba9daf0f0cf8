/** One language at a time: the one a caller asks for, by `?lang`, by Accept-Language, or by the terminal's settings. */
import t from 'tap'
import { CAUSES } from '../../src/admin/causes.ts'
import { preferredLanguage, terminalLanguage } from '../../src/base/language.ts'
import { addConfig, setUp } from '../gateway/fixtures/upstream.ts'
import { sitDown } from '../support/desk.ts'

const HAN = /\p{Script=Han}/u

t.test('Accept-Language, as browsers write it', async (t) => {
  const CHINESE = [
    'zh',
    'zh-CN',
    'zh-Hans-CN,zh;q=0.9,en;q=0.8',
    'en;q=0.5, zh;q=0.9',
    'ZH',
    'en;q=0,zh;q=0.1',
    ' zh-TW ; q=1',
  ]
  const ENGLISH = [
    '',
    'en',
    'en-GB,zh;q=0.9',
    'de',
    '*',
    'zh;q=0.1, en',
    'zha',
    'zh;q=x, en;q=0.5',
    ';',
    ',,',
  ]
  for (const header of CHINESE) t.equal(preferredLanguage(header), 'zh', header)
  for (const header of [...ENGLISH, undefined]) t.equal(preferredLanguage(header), 'en', String(header))
})

t.test("a terminal's language, by the variable that counts most", async (t) => {
  t.equal(terminalLanguage({ LANG: 'zh_CN.UTF-8' }), 'zh')
  t.equal(terminalLanguage({ LANG: 'zh_CN.UTF-8', LC_ALL: 'C' }), 'en')
  t.equal(terminalLanguage({ LANG: 'en_US.UTF-8', LC_MESSAGES: 'zh_TW' }), 'zh')
  t.equal(terminalLanguage({ LANG: 'de_DE.UTF-8' }), 'en')
  t.equal(terminalLanguage({}), 'en')
})

/** What is wrong, how to ask for it, and what it says of the field. */
const MISTAKES: [what: string, method: string, path: string, body?: object][] = [
  ['not there', 'GET', '/api/models/configs/nobody'],
  ['a missing field', 'POST', '/api/models/configs', { name: 'x' }],
  ['an unknown field', 'POST', '/api/models/configs', { name: 'x', provider: 'strict', models: [], typo: 1 }],
  ['a field too short', 'POST', '/api/keys', { name: '' }],
  ['a number too small', 'GET', '/api/models/configs?page=0'],
  ['a key of no provider', 'POST', '/api/models/configs', { name: 'x', provider: 'nobody', models: [] }],
  ['no API key', 'POST', '/api/models/configs', { name: 'x', provider: 'strict', models: [] }],
  [
    'a base URL',
    'POST',
    '/api/models/configs',
    { name: 'x', provider: 'strict', models: [], api_key: 'k', base_url: 'x' },
  ],
  ['no such session', 'GET', '/api/qwen/oauth/status?session_id=nobody'],
]

t.test('errors of the API', async (t) => {
  const { broker } = await setUp(t)
  const ask = async (method: string, path: string, body: object | undefined, language: string) => {
    const headers = {
      authorization: `Bearer ${broker.adminToken}`,
      'content-type': 'application/json',
      'accept-language': language,
    }
    const answer = await fetch(broker.origin + path, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    })
    return (await answer.json()) as { code: string; detail: string; message: string }
  }
  for (const [what, method, path, body] of MISTAKES) {
    const english = await ask(method, path, body, 'en-GB')
    const chinese = await ask(method, path, body, 'zh-CN,en;q=0.5')
    t.notMatch(english.message, HAN, what)
    t.match(chinese.message, HAN, what)
    t.equal(chinese.detail, chinese.message, what)
    t.equal(chinese.detail, english.detail, `${what}: detail is Chinese whoever asks`)
    t.notMatch(chinese.message, /\b(must|is|needs|not|the|has)\b/, what)
    const chosen = `${path}${path.includes('?') ? '&' : '?'}lang=zh`
    t.equal((await ask(method, chosen, body, 'en')).message, chinese.message, `${what}: ?lang`)
  }
})

t.test('doctor and the connection test, over the API and on a terminal', async (t) => {
  const { broker, configId, upstream } = await setUp(t)
  const diagnosis = async (query: string) =>
    (await broker.admin('POST', `/api/models/configs/${configId}/diagnose${query}`)).body
  const english = await diagnosis('')
  const chinese = await diagnosis('?lang=zh')
  t.equal(english.cause, CAUSES.none.english)
  t.equal(chinese.cause, CAUSES.none.chinese)
  for (const { detail } of english.checks) t.notMatch(detail, HAN)
  t.match(chinese.checks.at(-1).detail, HAN)

  const test = async (query: string) =>
    (
      await broker.admin('POST', `/api/models/configs/test-connection${query}`, {
        base_url: `${upstream.origin}/base/v1`,
        api_key: 'wrong',
        model_id: 'x',
      })
    ).body.message
  t.equal(await test(''), 'The endpoint answered with status 401')
  t.equal(await test('?lang=zh'), '连接失败：上游响应 401')

  await addConfig(broker, { name: 'other' })
  const { run: runAt } = sitDown(t)
  const place = { DATA_DIR: broker.dataDir, CONFIG_FILE: `${broker.dataDir}/config.yaml` }
  const run = async (LANG: string, ...args: string[]) => {
    const { out, err } = await runAt(args, '', { ...place, LANG })
    return out + err
  }
  for (const args of [['doctor'], ['doctor', 'nobody']]) {
    t.notMatch(await run('en_US.UTF-8', ...args), HAN, args.join(' '))
    t.match(await run('zh_CN.UTF-8', ...args), HAN, args.join(' '))
  }
  t.notMatch(await run('zh_CN.UTF-8', 'doctor'), CAUSES.none.english)
})
