/** `login` through a browser, as a process of its own, at a server that takes nothing but what it should. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { type Desk, MAIN, type Ran, sitDown } from '../support/desk.ts'
import { freePort } from '../support/free-port.ts'
import { searchCommand } from '../support/secret-search.ts'
import { CODE_CLIENT, type StrictCodeServer, startStrictCodeServer } from '../support/strict-code-server.ts'
import { testWhere, whatIsMissing } from '../support/test-where.ts'

interface Seat {
  readonly server: StrictCodeServer
  readonly desk: Desk
  /** The JSON file of the login. */
  readonly file: string
  /** Runs `login`; the person does `act` once the address is shown. */
  login(act: (url: URL, type: (text: string) => void) => Promise<unknown>, args?: string[]): Promise<Ran>
}

async function takeSeat(t: Test, redirect?: object): Promise<Seat> {
  const server = await startStrictCodeServer(t)
  const authorization_server = { issuer: server.origin, client_id: CODE_CLIENT, scope: 'models', redirect }
  const coded = { label: 'Coded', credential: 'authorization_code', authorization_server, upstream: {} }
  const desk = sitDown(t, JSON.stringify({ allow_insecure_loopback: true, providers: { coded } }))
  return {
    server,
    desk,
    file: join(desk.home, '.one_dragon_alpha', 'coded_oauth_creds.json'),
    async login(act, args = []) {
      let acting: Promise<unknown> | undefined
      const ran = await desk.run(['login', 'coded', ...args], null, {}, (out, type) => {
        const found = /https?:\/\/[^\s"]+\/authorize\?[^\s"]+/.exec(out)
        if (found) acting ??= act(new URL(found[0]), type)
      })
      await acting
      return ran
    },
  }
}

/** The person approves: where the browser is sent. */
async function approve({ registered }: StrictCodeServer, url: URL): Promise<string> {
  registered.add(url.searchParams.get('redirect_uri') ?? '')
  const { headers } = await fetch(url, { redirect: 'manual' })
  return headers.get('location') ?? ''
}

t.test('the browser comes back to this machine', async (t) => {
  const { server, desk, file, login } = await takeSeat(t)
  let page = ''
  const ran = await login(async (url) => {
    const redirectUri = url.searchParams.get('redirect_uri') ?? ''
    t.match(redirectUri, /^http:\/\/127\.0\.0\.1:\d+\/callback$/)
    t.equal((await fetch(redirectUri)).status, 404, 'nobody else ends it')
    t.equal((await fetch(`${redirectUri}?code=x&state=${'x'.repeat(43)}`)).status, 404)
    const answer = await fetch(await approve(server, url), { headers: { 'accept-language': 'zh' } })
    t.match(answer.headers.get('content-security-policy'), /^default-src 'none'/)
    page = await answer.text()
  })
  t.match(ran, { code: 0, out: /open in a browser[\s\S]*paste its address here[\s\S]*Logged in/, err: '' })
  t.match(page, /已登录/)
  t.equal(statSync(file).mode & 0o777, 0o600)
  const { access_token } = JSON.parse(readFileSync(file, 'utf8'))
  t.equal((await desk.run(['token', 'coded'])).out.trim(), access_token)
  t.same(server.complaints, [])
})

/** The status of what is asked for in these very words. */
async function statusOf(port: number, target: string): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  socket.end(`GET ${target} HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n`)
  return Number(/^HTTP\/1\.1 (\d+)/.exec(await text(socket))?.[1])
}

t.test('whoever else comes there neither ends the login nor holds it up', async (t) => {
  const { server, login } = await takeSeat(t)
  const ran = await login(async (url) => {
    const port = Number(new URL(url.searchParams.get('redirect_uri') ?? '').port)
    for (const target of [
      '//',
      '//[',
      '/%',
      '*',
      'http://[/',
      '/callback?state=%zz',
      `/${'x'.repeat(9_000)}`,
    ])
      t.equal(await statusOf(port, target), 404, target.slice(0, 20))
    const silent = connect(port, '127.0.0.1').on('error', () => {})
    t.teardown(() => silent.destroy())
    silent.write('GET /callback HTTP/1.1\r\n')
    const place = await approve(server, url)
    const pages = await Promise.all([fetch(place), fetch(place)])
    t.same(pages.map(({ status }) => status).toSorted(), [200, 404], 'a browser may ask twice')
  })
  t.match(ran, { code: 0, out: /Logged in/, err: '' })
  t.equal(server.asked.length, 1)
})

t.test('a program is told in JSON', async (t) => {
  const { server, login } = await takeSeat(t, {
    loopback: { host: 'localhost', path: '/auth/callback' },
    paste: false,
  })
  const ran = await login(async (url) => fetch(await approve(server, url)), ['--json'])
  const [begun, done] = ran.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(begun, { redirect_uri: /^http:\/\/localhost:\d+\/auth\/callback$/, expires_in: 600 })
  t.match(done, { logged_in: true })
  t.equal(ran.code, 0)
})

t.test('an address from the browser of another machine is pasted', async (t) => {
  const { server, file, login } = await takeSeat(t)
  const ran = await login(async (url, type) => {
    const place = await approve(server, url)
    type(`${url.href}\n\n`)
    type(`${place.replace('127.0.0.1', '127.0.0.2')}\n`)
    type(`  ${place}  \n`)
  })
  t.match(ran, { code: 0, out: /Logged in/ })
  t.equal(ran.err.match(/not the address that this login ends at/g)?.length, 2)
  t.ok(existsSync(file))
  t.same(server.complaints, [])
})

t.test(
  'the registered port is taken: then the address is pasted, or it is said whose port it is',
  async (t) => {
    const port = await freePort()
    const other = createServer().listen(port, '127.0.0.1')
    t.teardown(() => other.close())
    const pasted = await takeSeat(t, { loopback: { port } })
    const ran = await pasted.login(async (url, type) => type(`${await approve(pasted.server, url)}\n`))
    t.match(ran, { code: 0, out: /ends at a page that cannot be opened: paste[\s\S]*Logged in/ })
    const { login } = await takeSeat(t, { loopback: { port }, paste: false })
    t.match(await login(async () => {}), {
      code: 2,
      err: new RegExp(`cannot listen on 127.0.0.1:${port} \\(EADDRINUSE\\)`),
    })
  },
)

const ENDS: Readonly<Record<string, (server: StrictCodeServer) => void>> = {
  access_denied: (server) => {
    server.answer = (params) => {
      params.delete('code')
      params.set('error', 'access_denied')
    }
  },
  issuer_mismatch: (server) => {
    server.answer = (params) => params.set('iss', 'https://elsewhere.example')
  },
  authorization_server_refused: (server) => {
    server.answer = (params) => params.set('code', 'never-given')
  },
  authorization_unclear: (server) => {
    server.fault = 'cut'
  },
}

t.test('whatever ends it is said on the terminal and in the browser, and nothing is kept', async (t) => {
  const { server, file, login } = await takeSeat(t)
  for (const [code, prepare] of Object.entries(ENDS)) {
    Object.assign(server, { answer: () => {}, fault: undefined })
    prepare(server)
    let page: Response | undefined
    const ran = await login(
      async (url) => {
        page = await fetch(await approve(server, url))
      },
      ['--json'],
    )
    t.match(ran, { code: 1, err: new RegExp(`"code":"${code}"`) }, code)
    t.equal(page?.status, 400, code)
    t.match(await page?.text(), /the terminal says why/, code)
    t.notOk(existsSync(file))
  }
})

/** The same at a terminal. @returns its exit code, and all that stood on the screen */
function loginAtTerminal(
  { desk }: Seat,
  act: (url: URL, type: (text: string) => void) => Promise<unknown>,
): Promise<{ code: number | null; screen: string }> {
  return new Promise((resolve, reject) => {
    const command = `stty cols 20000; ${process.execPath} ${MAIN} login coded`
    const child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...desk.env, TERM: 'xterm' } })
    let screen = ''
    let acting: Promise<unknown> | undefined
    child.stdout.on('data', (chunk) => {
      screen += chunk
      const found = /https?:\/\/[\w.:]+\/authorize\?[\w.%&=+-]+/.exec(screen)
      if (found) acting ??= act(new URL(found[0]), (text) => child.stdin.write(text))
    })
    child.on('close', (code) => {
      searchCommand(['login'], screen)
      Promise.resolve(acting).then(() => resolve({ code, screen }), reject)
    })
  })
}

testWhere(t, { name: 'at a terminal', missing: whatIsMissing('script') }, async (t) => {
  const seat = await takeSeat(t)
  const { server, file } = seat
  const left = await loginAtTerminal(seat, async (_, type) => type('\u0003'))
  t.match(left, { code: 130 }, 'Ctrl-C ends it')
  t.notOk(existsSync(file))
  const back = await loginAtTerminal(seat, async (url) => fetch(await approve(server, url)))
  t.match(back, { code: 0, screen: /Logged in/ }, 'it does not wait for anybody to type')
  server.answer = (params) => params.set('session_state', 'x'.repeat(6_000))
  const pasted = await loginAtTerminal(seat, async (url, type) => type(`${await approve(server, url)}\r`))
  t.match(pasted, { code: 0, screen: /Logged in/ }, 'however long an address is')
  t.notMatch(pasted.screen, 'session_state', 'and it is not shown')
  t.same(server.complaints, [])
})
