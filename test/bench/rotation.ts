/**
 * Credentials that the sandbox's authorization server renews: every two seconds, or hardly ever.
 *
 * A token lives four seconds and is due after half of its life. The sandbox is strict: an old refresh token
 * revokes the family, and its model endpoint refuses every access token that is not alive.
 */

import { must } from '../support/broker.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { freePort } from '../support/free-port.ts'
import { connect, startBroker } from './broker.ts'
import type { Lab } from './lab.ts'
import { brokerPeer, type Peer } from './peers.ts'
import { startScript } from './processes.ts'
import { originOf } from './upstreams.ts'

export const ROTATION_SECONDS = 2
const LONG_LIFE_SECONDS = 3_600
const MODEL = 'sandbox-model'
const CLIENT_ID = 'token-broker-sandbox'
const BODY = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'x'.repeat(960) }] })

/** Of the sandbox; see src/sandbox/counts.ts. */
export interface Counts {
  readonly refreshRequests: number
  readonly refreshGrants: number
  readonly reusesDetected: number
  readonly familiesRevoked: number
  readonly unauthorized: number
}

export interface Rotation {
  readonly rotating: Peer
  readonly steady: Peer
  readonly broker: BrokerProcess
  /** What the server that rotates has counted. */
  counts(): Promise<Counts>
}

export async function startRotation(lab: Lab, env: Readonly<Record<string, string>> = {}): Promise<Rotation> {
  const ports = { rotating: await freePort(), steady: await freePort() }
  // In one process, or what is compared would be two processes.
  await startScript('sandboxes', [
    { port: ports.rotating, accessTokenSeconds: 2 * ROTATION_SECONDS },
    { port: ports.steady, accessTokenSeconds: LONG_LIFE_SECONDS },
  ])
  const [rotatingServer, steadyServer] = [
    originOf({ port: ports.rotating }),
    originOf({ port: ports.steady }),
  ]
  const broker = await startBroker(lab, {
    env,
    providers: { rotating: provider(rotatingServer), steady: provider(steadyServer) },
  })
  const connectAt = async (name: string, server: string): Promise<Peer> => {
    const oauth_session_id = await login(broker, name, server)
    const key = await connect(broker, name, { oauth_session_id, models: [{ model_id: MODEL }] })
    return { ...brokerPeer(broker, key), name, body: BODY }
  }
  return {
    rotating: await connectAt('rotating', rotatingServer),
    steady: await connectAt('steady', steadyServer),
    broker,
    counts: async () => (await (await fetch(`${rotatingServer}/control/counts`)).json()) as Counts,
  }
}

function provider(server: string): object {
  return {
    credential: 'device_code',
    authorization_server: {
      device_authorization_endpoint: `${server}/oauth/device/code`,
      token_endpoint: `${server}/oauth/token`,
      client_id: CLIENT_ID,
      scope: 'openid model.completion',
    },
    upstream: { base_url: `${server}/v1` },
    refresh: { before_seconds: ROTATION_SECONDS },
  }
}

/** @returns the id of a finished device session */
async function login(broker: BrokerProcess, name: string, server: string): Promise<string> {
  const session = await must(broker.admin('POST', `/api/${name}/oauth/device-code`, {}))
  await fetch(`${server}/control/approve`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user_code: session.user_code }),
  })
  const status = `/api/${name}/oauth/status?session_id=${session.session_id}`
  while ((await must(broker.admin('GET', status))).status !== 'success') {
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  return session.session_id
}
