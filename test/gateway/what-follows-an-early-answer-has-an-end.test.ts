/** A client that was answered during its upload is read on, so that the answer arrives; but not for ever. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { setUp } from './fixtures/upstream.ts'

/** Half a minute it takes, whatever the client does. */
t.test('a client that goes on sending, a little at a time', async (t) => {
  const { broker } = await setUp(t)
  const socket = connect({
    host: '127.0.0.1',
    port: Number(new URL(broker.origin).port),
    allowHalfOpen: true,
  })
  socket.on('error', () => {}).resume()
  const head = 'POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n'
  socket.write(`${head}Content-Length: 1000000000\r\n\r\n`)
  const [answer] = await once(socket, 'data')
  t.match(answer.toString(), /^HTTP\/1\.1 401 /)
  const answeredAt = performance.now()
  const sending = setInterval(() => socket.write('a little'), 200)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(sending)
  const seconds = (performance.now() - answeredAt) / 1_000
  t.ok(seconds > 20, `${seconds.toFixed(1)} s: a slow line has its time`)
})
