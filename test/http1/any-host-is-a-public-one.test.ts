import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import t from 'tap'
import { isPublicAddress } from '../../src/base/network.ts'
import { Secret } from '../../src/base/secret.ts'
import { chooseProxy, confined, NO_PROXY } from '../../src/http1/egress-proxy.ts'
import { openSocket } from '../../src/http1/open-socket.ts'
import { publicLookup } from '../../src/http1/public-lookup.ts'

t.test('which addresses are public', async (t) => {
  const own = [
    ...[
      '0.0.0.0',
      '10.1.2.3',
      '100.64.0.1',
      '127.0.0.1',
      '127.255.255.255',
      '169.254.169.254',
      '172.16.0.1',
      '172.31.255.1',
    ],
    ...[
      '192.0.0.1',
      '192.0.2.1',
      '192.168.1.1',
      '198.18.0.1',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '255.255.255.255',
    ],
    ...[
      '::',
      '::1',
      '::ffff:127.0.0.1',
      '::ffff:8.8.8.8',
      '64:ff9b::7f00:1',
      'fe80::1',
      'fc00::1',
      'fd00:ec2::254',
      'ff02::1',
    ],
    ...['2001::1', '2001:db8::1', '2002:7f00:1::', '3fff::1', '100::1', 'localhost', ''],
  ]
  for (const ip of own) t.notOk(isPublicAddress(ip), ip)
  for (const ip of ['8.8.8.8', '1.1.1.1', '100.63.0.1', '172.32.0.1', '2606:4700::1111', '2a00:1450:4001::1'])
    t.ok(isPublicAddress(ip), ip)
})

/** How a connection there ends. */
function opened(target: string, proxyFor = confined(NO_PROXY)): Promise<string> {
  const url = new URL(target)
  return new Promise((resolve) => {
    openSocket(
      url,
      proxyFor(url),
      {},
      {
        onOpen: (socket) => {
          socket.destroy()
          resolve('open')
        },
        onFailure: (error) => resolve(error.code),
      },
    )
  })
}

t.test('a name that leads into a network of one own is not connected to', async (t) => {
  let calls = 0
  const server = createServer((socket) => {
    calls += 1
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const scheme of ['http', 'https'])
    for (const host of ['localhost', '127.0.0.1', '[::1]'])
      t.equal(await opened(`${scheme}://${host}:${port}/`), 'ADDRESS_NOT_PUBLIC', `${scheme} ${host}`)
  t.equal(calls, 0)
  t.equal(await opened(`http://localhost:${port}/`, NO_PROXY), 'open', 'where its author named it')
})

t.test('nothing goes through a proxy, which would look the name up itself', async (t) => {
  const proxyFor = confined(
    chooseProxy({ forHttps: new Secret('http://127.0.0.1:9'), forHttp: undefined, noProxy: [] }),
  )
  t.equal(await opened('https://models.example/', proxyFor), 'PROXY_NOT_FOR_ANY_HOST')
})

t.test('what was judged is what is connected to', async (t) => {
  const answers = [
    [{ address: '8.8.8.8', family: 4 }],
    [
      { address: '8.8.8.8', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ],
    [{ address: '::ffff:10.0.0.1', family: 6 }],
    [],
  ]
  const asked: string[] = []
  const lookup = publicLookup((hostname, _, callback) => {
    asked.push(hostname)
    callback(null, answers[asked.length - 1] ?? [])
  })
  const ask = (all: boolean) =>
    new Promise((resolve) =>
      lookup('name.example', { all }, (error, address) => resolve(error ? error.code : address)),
    )
  t.equal(await ask(false), '8.8.8.8')
  for (const why of ['one of them is not', 'an address of IPv4 in one of IPv6', 'none at all'])
    t.equal(await ask(true), 'ADDRESS_NOT_PUBLIC', why)
  t.equal(asked.length, 4, 'each is asked for once')
})
