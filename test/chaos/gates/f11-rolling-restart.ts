/**
 * F11: rolling SIGTERMs under load. Two replicas behind a balancer that asks `/health/ready`; one after the other is
 * stopped and started again, each with a stream on a connection that its client keeps alive.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { createConfigAndKey } from '../../support/broker.ts'
import { type Broker, startBroker } from '../broker.ts'
import type { Gate, Lab, Row } from '../lab.ts'
import { failuresOf, isFailed, Load } from '../load.ts'
import { openSandbox, openSchema, sharedServer } from '../stage.ts'

const CALLS_A_SECOND = 20
/** So often a balancer asks. */
const PROBE_MS = 200
/** Eight seconds in all: a broker waits five for its balancers. */
const EVENTS = 40
const EVENT_MS = 200
const END = 'data: [DONE]\n\n'
const EXIT_WITHIN_MS = 5_000
/** No client gives its connection up by itself. */
const KEEP_ALIVE_MS = 300_000

interface Round {
  readonly isWhole: boolean
  /** From the end of the last stream to the end of the process. */
  readonly exitMs: number
  readonly code: number | null
}

export const rollingRestart: Gate = {
  id: 'F11',
  title: 'rolling restarts',
  async run(lab) {
    const { brokers, key } = await open(lab)
    const client = new Agent({ keepAliveTimeout: KEEP_ALIVE_MS, keepAliveMaxTimeout: KEEP_ALIVE_MS })
    lab.teardown(() => client.destroy())
    const balancer = new Balancer(brokers)
    lab.teardown(() => balancer.stop())
    await balancer.settle()
    const load = new Load(CALLS_A_SECOND, () => balancer.next().complete(key))
    const rounds: Round[] = []
    for (let i = 0; i < lab.size(20, 2); i += 1) {
      const round = await restart(brokers[i % brokers.length] as Broker, key, client)
      rounds.push(round)
      await balancer.settle()
      lab.say(`round ${i + 1}: exit ${Math.round(round.exitMs)} ms after the last stream, code ${round.code}`)
    }
    const calls = await load.stop()
    return [rowOf(rounds, calls.filter(isFailed).length, calls.length, failuresOf(calls))]
  },
}

async function open(lab: Lab): Promise<{ brokers: readonly Broker[]; key: string }> {
  const schema = await openSchema(lab, await sharedServer())
  const sandbox = await openSandbox(lab)
  const upstream = { base_url: `${await startEndpoint(lab)}/v1` }
  const providers = { own: { credential: 'api_key', upstream } }
  const options = { databaseUrl: schema.url, sandbox: sandbox.origin, providers }
  const brokers = await Promise.all([startBroker(lab, options), startBroker(lab, options)])
  const config = { name: 'own', provider: 'own', models: [{ model_id: 'sandbox-model' }], api_key: 'sk-own' }
  return { brokers, key: (await createConfigAndKey(brokers[0], config)).key }
}

/** Streams for longer than a broker waits for its balancers, and answers everything else at once. */
async function startEndpoint(lab: Lab): Promise<string> {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    const isStream = (JSON.parse(body) as { stream?: boolean }).stream === true
    response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' })
    if (!isStream) return void response.end('{}')
    for (let i = 0; i < EVENTS; i += 1) {
      response.write('data: {"choices":[]}\n\n')
      await sleep(EVENT_MS)
    }
    response.end(END)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  lab.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Sends calls in turn to those that were ready when they were last asked. */
class Balancer {
  readonly #brokers: readonly Broker[]
  readonly #ready = new Set<Broker>()
  #turn = 0
  #isStopped = false

  constructor(brokers: readonly Broker[]) {
    this.#brokers = brokers
    for (const broker of brokers) void this.#probe(broker)
  }

  next(): Broker {
    const ready = this.#brokers.filter((broker) => this.#ready.has(broker))
    this.#turn += 1
    return (ready[this.#turn % ready.length] ?? this.#brokers[0]) as Broker
  }

  /** Resolves when all are ready. */
  async settle(): Promise<void> {
    while (this.#ready.size < this.#brokers.length) await sleep(PROBE_MS)
  }

  stop(): void {
    this.#isStopped = true
  }

  async #probe(broker: Broker): Promise<void> {
    while (!this.#isStopped) {
      if (await broker.isReady()) this.#ready.add(broker)
      else this.#ready.delete(broker)
      await sleep(PROBE_MS)
    }
  }
}

async function restart(broker: Broker, key: string, client: Agent): Promise<Round> {
  const { body, statusCode } = await request(`${broker.origin}/v1/chat/completions`, {
    method: 'POST',
    dispatcher: client,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'sandbox-model',
      stream: true,
      messages: [{ role: 'user', content: 'hi' }],
    }),
  })
  let endedAt = 0
  const reading = body.text().then((text) => {
    endedAt = performance.now()
    return statusCode === 200 && text.endsWith(END)
  })
  const exiting = broker.terminate()
  const isWhole = await reading.catch(() => false)
  const code = await exiting
  const exitMs = performance.now() - endedAt
  await broker.start()
  return { isWhole, exitMs, code }
}

function rowOf(rounds: readonly Round[], failed: number, calls: number, failures: string): Row {
  const whole = rounds.filter(({ isWhole }) => isWhole).length
  const latest = Math.max(...rounds.map(({ exitMs }) => exitMs))
  const clean = rounds.filter(({ code }) => code === 0).length
  return {
    what: `${rounds.length} × SIGTERM, two replicas in turn, ${CALLS_A_SECOND} calls/s, a stream kept alive each`,
    figure: `${failed} of ${calls} calls failed, ${whole} of ${rounds.length} streams finished, ${clean} exits with code 0`,
    worst: `exit ${Math.round(latest)} ms after the last stream's end, failures ${failures}`,
    required: `0 failed, all finished, exit <= ${EXIT_WITHIN_MS} ms`,
    reached: failed === 0 && whole === rounds.length && clean === rounds.length && latest <= EXIT_WITHIN_MS,
  }
}
