/** Clients that come by the thousand while the process is held up: the kernel keeps them until it has time. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import t from 'tap'
import { startProcess } from '../support/broker-process.ts'
import { waitUntil } from '../support/wait-until.ts'

/** What Linux lets wait at all, whatever a server asks for. */
const MOST = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'))
const CLIENTS = Math.min(1_500, MOST)
const REQUEST = 'GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

for (const WORKERS of ['1', '2']) {
  t.test(`WORKERS=${WORKERS}`, async (t) => {
    const broker = await startProcess(t, { env: { WORKERS } })
    broker.signal('SIGSTOP')
    const answers: string[] = []
    let connected = 0
    for (let client = 0; client < CLIENTS; client += 1) {
      const socket = connect(Number(new URL(broker.origin).port), '127.0.0.1')
      t.teardown(() => socket.destroy())
      let answer = ''
      socket.setEncoding('latin1')
      socket.on('error', () => {})
      socket.once('connect', () => {
        connected += 1
        socket.write(REQUEST)
      })
      socket.on('data', (text) => {
        answer += text
      })
      socket.once('end', () => answers.push(answer))
    }
    // Nobody is refused, so this needs no second try of a client, which takes seconds.
    await waitUntil(() => connected === CLIENTS).catch(() => {})
    t.equal(connected, CLIENTS, 'all are connected while nobody takes them on')
    broker.signal('SIGCONT')
    await waitUntil(() => answers.length === CLIENTS)
    t.equal(answers.filter((answer) => answer.startsWith('HTTP/1.1 200 ')).length, CLIENTS)
  })
}
