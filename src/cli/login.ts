/**
 * `login`: the device flow on a terminal, with a QR code and a countdown; others go through a browser, or bring a token.
 */
import { setTimeout } from 'node:timers/promises'
import { renderUnicodeCompact } from 'uqr'
import { SECOND, systemClock } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'
import { parseWebSession } from '../credential/persistence/web-session-text.ts'
import type { QwenTokenManager } from '../credential/qwen-token-manager.ts'
import { AuthorizationServer } from '../oauth/authorization-server.ts'
import { type DeviceAuthorization, requestDeviceAuthorization } from '../oauth/device-authorization.ts'
import { pollDeviceCode } from '../oauth/device-code-grant.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { logInByBrowser } from './code-login.ts'
import { type CommandLine, InputError } from './command-line.ts'
import { answer, paint, shown } from './output.ts'
import { readSecret } from './secret-input.ts'
import { managerOf } from './token-file.ts'

const SLOW_DOWN_MS = 5 * SECOND

export async function login(line: CommandLine): Promise<void> {
  const manager = managerOf(line)
  const { kind, lacking, authorizationServer } = manager.provider
  if (lacking.length > 0) throw new BrokerError('inputs_required')
  if (kind === 'session') return bringSession(line, manager)
  if (kind === 'authorization_code' && authorizationServer)
    return keep(line, manager, await logInByBrowser(line, manager, authorizationServer.redirect))
  if (kind !== 'device_code') throw new BrokerError('device_flow_unsupported')
  const server = new AuthorizationServer(manager.provider, manager.dispatcher)
  const authorization = await requestDeviceAuthorization(server)
  if ('failure' in authorization) {
    throw new BrokerError('device_authorization_failed', { reason: authorization.failure })
  }
  answer(line, codeOf(authorization), invitation(manager.provider.label, authorization))
  const showsTime = process.stdout.isTTY && !line.options.json
  const tokens = await waitForTokens(server, authorization, showsTime)
  await keep(line, manager, tokens)
}

/** A web session has no flow of its own: its token comes from the browser that is logged in. */
async function bringSession(line: CommandLine, manager: QwenTokenManager): Promise<void> {
  const { label } = manager.provider
  const tokens = parseWebSession(
    await readSecret({ english: `the token of ${label}`, chinese: `${label} 的令牌` }),
  )
  if (!tokens)
    throw new InputError(
      'this is no session token; copy the whole of it, without blanks in it',
      '这不是会话令牌；请完整复制，不含空格',
    )
  await keep(line, manager, tokens)
}

async function keep(line: CommandLine, manager: QwenTokenManager, tokens: TokenSet): Promise<void> {
  await manager.save(tokens)
  const { file } = manager.persistence
  answer(line, { file, logged_in: true }, `${paint('good', 'Logged in.')} The tokens are in ${file}\n`)
}

/** With `--json` a line for the code comes first, and another when the login is done. */
function codeOf(authorization: DeviceAuthorization): object {
  return {
    user_code: authorization.userCode,
    verification_uri: authorization.verificationUri,
    verification_uri_complete: authorization.verificationUriComplete,
    expires_in: authorization.expiresInSeconds,
  }
}

function invitation(label: string, authorization: DeviceAuthorization): string {
  const { verificationUriComplete } = authorization
  const [address, page, code] = [
    verificationUriComplete,
    authorization.verificationUri,
    authorization.userCode,
  ].map(shown)
  return `
${renderUnicodeCompact(verificationUriComplete)}

  ${label}: scan the code, or open

    ${address}

  The code is ${paint('loud', code ?? '')} (at ${page})

`
}

async function waitForTokens(
  server: AuthorizationServer,
  authorization: DeviceAuthorization,
  showsTime: boolean,
): Promise<TokenSet> {
  const endsAt = systemClock() + authorization.expiresInSeconds * SECOND
  let intervalMs = authorization.intervalSeconds * SECOND
  while (systemClock() < endsAt) {
    await countDown(intervalMs, endsAt, showsTime)
    const poll = await pollDeviceCode(
      server,
      authorization.deviceCode,
      authorization.codeVerifier,
      systemClock,
    )
    if (poll.kind === 'tokens') return poll.tokens
    if (poll.kind === 'denied') throw new BrokerError('access_denied')
    if (poll.kind === 'unknown_code') throw new BrokerError('invalid_device_code')
    if (poll.kind === 'refused') throw new BrokerError('authorization_server_refused', { reason: poll.code })
    if (poll.kind === 'expired') break
    if (poll.kind === 'slow_down') intervalMs += SLOW_DOWN_MS
  }
  throw new BrokerError('authorization_timeout')
}

/** Waits one interval; on a terminal the seconds left are shown in place. */
async function countDown(intervalMs: number, endsAt: number, isShown: boolean): Promise<void> {
  const until = systemClock() + intervalMs
  while (systemClock() < until) {
    if (isShown) {
      const left = Math.max(0, Math.ceil((endsAt - systemClock()) / SECOND))
      process.stdout.write(`\r  Waiting for your approval, ${left} s left …   `)
    }
    await setTimeout(Math.max(0, Math.min(SECOND, until - systemClock())))
  }
  if (isShown) process.stdout.write('\r\x1b[K')
}
