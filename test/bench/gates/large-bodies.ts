/**
 * P9: a gibibyte up and a gibibyte down, byte for byte, and what the broker holds of it meanwhile.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { residentBytes } from '../../support/resident-bytes.ts'
import { connect, plainProvider, startBroker } from '../broker.ts'
import { type Findings, type Gate, type Lab, PeerFailed } from '../lab.ts'

const BYTES = 2 ** 30
const MIB = 2 ** 20
const BLOCK = randomBytes(MIB)
/** A tenth of a body: garbage between two collections, not the body. */
const MAX_MIB = 100
const SAMPLE_MS = 100

export const largeBodies: Gate = {
  id: 'P9',
  title: '1 GiB up and 1 GiB down',
  async run(lab: Lab): Promise<Findings> {
    const upstream = createServer(async (call, answer) => {
      const digest = await digestOf(call)
      answer.writeHead(200, { 'x-ratelimit-digest': digest, 'content-type': 'application/octet-stream' })
      await pipeline(aGibibyte(), answer)
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    const { port } = upstream.address() as AddressInfo
    const running = await startBroker(lab, { providers: plainProvider(`http://127.0.0.1:${port}`) })
    const key = await connect(running, 'bench')
    const resident = () => residentBytes(running.pid) / MIB
    const idle = resident()
    let peak = idle
    const timer = setInterval(() => {
      peak = Math.max(peak, resident())
    }, SAMPLE_MS)
    const startedAt = performance.now()
    const call = request(`${running.origin}/v1/files`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'multipart/form-data; boundary=x' },
    })
    const answered = once(call, 'response') as Promise<[IncomingMessage]>
    await pipeline(aGibibyte(), call)
    const [answer] = await answered
    const expected = await digestOf(aGibibyte())
    const isExact = answer.headers['x-ratelimit-digest'] === expected && (await digestOf(answer)) === expected
    const seconds = (performance.now() - startedAt) / 1000
    clearInterval(timer)
    upstream.close()
    upstream.closeAllConnections()
    if (answer.statusCode !== 200) throw new PeerFailed(`the broker answered ${answer.statusCode}`)
    return {
      rows: [
        {
          what: 'MiB of RSS above idle, at most',
          figure: (peak - idle).toFixed(1),
          required: `<= ${MAX_MIB}`,
          reached: Number.isNaN(idle) ? 'skipped' : peak - idle <= MAX_MIB,
        },
        { what: 'byte-exact both ways', figure: isExact ? 'yes' : 'no', required: 'yes', reached: isExact },
      ],
      notes: [`RSS idle ${idle.toFixed(1)} MiB, peak ${peak.toFixed(1)} MiB; ${seconds.toFixed(1)} s`],
    }
  },
}

function aGibibyte(): Readable {
  return Readable.from(
    (function* () {
      for (let sent = 0; sent < BYTES; sent += BLOCK.length) yield BLOCK
    })(),
  )
}

async function digestOf(stream: Readable): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
