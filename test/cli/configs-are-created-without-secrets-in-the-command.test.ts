/** `configs create`: the key comes from the environment or from standard input, and each wrong step says what is right. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { MAIN, type Ran, sitDown } from '../support/desk.ts'

const KEY = 'sk-key-of-a-person-0123456789'
const DASHSCOPE = ['--provider', 'dashscope-intl']

type Wrong = [
  what: string,
  args: string[],
  input: string,
  env: Record<string, string>,
  expected: Partial<Ran> | object,
]

const one = (err: RegExp) => ({
  code: 2,
  out: '',
  err: new RegExp(`^token-broker: [^\\n]*${err.source}[^\\n]*\\n$`),
})

const WRONG: Wrong[] = [
  ['no name', [], KEY, {}, { code: 2, err: /configs create needs a name/ }],
  ['no provider', ['x'], KEY, {}, { code: 2, err: /needs --provider/ }],
  [
    'an unknown provider',
    ['x', '--provider', 'dashscop'],
    KEY,
    {},
    one(/no provider dashscop; there are .*dashscope-intl/),
  ],
  ['no model', ['x', ...DASHSCOPE], KEY, {}, one(/at least one model that dashscope-intl serves: --model/)],
  [
    'no key',
    ['x', ...DASHSCOPE, '--model', 'm'],
    ' \n',
    {},
    one(/the API key of x is read from standard input, and nothing came/),
  ],
  [
    'a key in the command',
    ['x', ...DASHSCOPE, '--model', 'm', '--api-key', KEY],
    '',
    {},
    one(/must not stand in the command.*env:API_KEY/),
  ],
  [
    'a variable that is not set',
    ['x', ...DASHSCOPE, '--model', 'm', '--api-key', 'env:K'],
    '',
    {},
    one(/K, which is to hold the API key of x, is not set/),
  ],
  [
    'an empty variable',
    ['x', ...DASHSCOPE, '--model', 'm', '--api-key', 'env:K'],
    '',
    { K: '' },
    one(/K is empty/),
  ],
  [
    'a key of another plan',
    ['x', ...DASHSCOPE, '--model', 'm'],
    'sk-sp-coding-plan-0123456789',
    {},
    { code: 1, err: /api_key is not a key of DashScope, international.*coding-plan/ },
  ],
  ['a key with blanks in it', ['x', ...DASHSCOPE, '--model', 'm'], 'sk-two words', {}, one(/api_key /)],
  [
    'no URL',
    ['x', '--provider', 'openai', '--model', 'm', '--base-url', 'nonsense'],
    KEY,
    {},
    { code: 1, err: /base_url must be an https URL/ },
  ],
  [
    'a login',
    ['x', '--provider', 'qwen'],
    '',
    {},
    one(/qwen needs a login: connect it in the console, or token-broker login qwen/),
  ],
  ['no session', ['x', '--provider', 'qwen-chat'], 'two words', {}, one(/no session token/)],
]

t.test('what is wrong is said in one line, and nothing is made', async (t) => {
  const { run } = sitDown(t)
  for (const [what, args, input, env, expected] of WRONG) {
    const ran = await run(['configs', 'create', ...args], input, env)
    t.match(ran, expected, what)
    t.notMatch(ran.out + ran.err, /sk-key|sk-sp-coding|sk-two/, 'the key is not repeated')
  }
  t.same(JSON.parse((await run(['configs', '--json'])).out), [])
})

t.test('in the language of the terminal', async (t) => {
  const { run } = sitDown(t)
  const create = ['configs', 'create', 'x', ...DASHSCOPE]
  const told: [string[], RegExp][] = [
    [[], /请至少指定一个 dashscope-intl 的模型/],
    [['--model', 'm'], /x 的 API 密钥从标准输入读取/],
    [['--model', 'm', '--api-key', KEY], /x 的 API 密钥不能写在命令行中/],
    [['--model', 'm', '--api-key', 'env:K'], /K（用于保存x 的 API 密钥）未设置/],
  ]
  for (const [more, words] of told) {
    const ran = await run([...create, ...more], '', { LANG: 'zh_CN.UTF-8' })
    t.match(ran, { code: 2, err: words })
    t.notMatch(ran.err, /[a-z]+ [a-z]+ [a-z]+/, 'one language at a time')
  }
  const json = await run([...create, '--json'], '', { LANG: 'zh_CN.UTF-8' })
  t.match(JSON.parse(json.err), { error: { message: /请至少指定/ } })
})

t.test('from standard input, or from the variable that is named', async (t) => {
  const keys: (string | undefined)[] = []
  const server = createServer((request, response) => {
    keys.push(request.headers.authorization)
    request.resume()
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const { run } = sitDown(t, 'allow_insecure_loopback: true\n')
  const create = (name: string) => [
    'configs',
    'create',
    name,
    '--provider',
    'openai',
    '--base-url',
    url,
    '--model',
    'm',
  ]

  const piped = await run(create('piped'), `\ufeff${KEY}\r\n`)
  t.match(piped, { code: 0, out: /^[0-9a-f-]{36}\n$/, err: /doctor 'piped'/ })
  const named = await run([...create('named'), '--api-key', 'env:MY_KEY', '--json'], '', {
    MY_KEY: `${KEY}2`,
  })
  t.match(JSON.parse(named.out), { id: /^[0-9a-f-]{36}$/ })
  t.match(await run(['configs']), { out: /piped {2}openai {2}active\n.*named {2}openai {2}active\n/ })
  t.match(await run(['doctor']), { code: 0 })
  t.same(keys, [`Bearer ${KEY}`, `Bearer ${KEY}2`])
  t.match(await run(create('piped'), KEY), { code: 1, err: /name is already in use/ })
})

t.test('typed on a terminal it is not shown', async (t) => {
  const { env, run } = sitDown(t)
  const command = ['configs', 'create', 'typed', '--provider', 'openai', '--model', 'm']
  const child = spawn('script', ['-qec', [process.execPath, MAIN, ...command].join(' '), '/dev/null'], {
    env,
  })
  let shown = ''
  child.stdout.on('data', (chunk) => {
    const isAsked = shown.includes('press Enter')
    shown += chunk
    if (!isAsked && shown.includes('press Enter')) child.stdin.write(`${KEY}\r`)
  })
  t.same(await once(child, 'close'), [0, null])
  t.match(shown, /Paste the API key of typed \(it is not shown\)/)
  t.notMatch(shown, KEY)
  t.match(await run(['configs']), { out: /typed {2}openai {2}active/ })
})
