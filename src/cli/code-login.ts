/**
 * `login` through a browser (RFC 8252): it comes back to this machine or, where it is on another one, the person brings the
 * address that it ended at.
 */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { MINUTE, systemClock } from '../base/clock.ts'
import { sha256 } from '../base/digest.ts'
import { BrokerError } from '../base/errors.ts'
import { terminalLanguage } from '../base/language.ts'
import type { QwenTokenManager } from '../credential/qwen-token-manager.ts'
import {
  type AuthorizationRequest,
  answerIn,
  loopbackAddress,
  redeemCode,
  requestAuthorization,
} from '../oauth/authorization-code.ts'
import { AuthorizationServer } from '../oauth/authorization-server.ts'
import type { TokenSet } from '../oauth/token-response.ts'
import { errorOf } from '../onboarding/device-session.ts'
import type { Redirect } from '../provider/authorization-server-config.ts'
import { type CommandLine, InputError } from './command-line.ts'
import { type LoopbackListener, listenOnLoopback } from './loopback-listener.ts'
import { answer, paint, shown } from './output.ts'

const LIFETIME_MS = 10 * MINUTE

/** What a browser brought back, and how to tell whoever sits before it. */
interface Back {
  readonly answer: URLSearchParams
  readonly told: (isGood: boolean) => void
}

/** @throws BrokerError | InputError */
export async function logInByBrowser(
  line: CommandLine,
  { provider, dispatcher }: Pick<QwenTokenManager, 'provider' | 'dispatcher'>,
  redirect: Redirect,
): Promise<TokenSet> {
  const server = new AuthorizationServer(provider, dispatcher)
  const listener = await listenerOf(redirect)
  const over = new AbortController()
  try {
    const redirectUri = listener?.redirectUri ?? loopbackAddress(redirect.loopback)
    const request = await requestAuthorization(server, redirectUri)
    if ('failure' in request)
      throw new BrokerError('authorization_server_unreachable', { reason: request.failure })
    const facts = {
      authorization_url: request.url,
      redirect_uri: redirectUri,
      expires_in: LIFETIME_MS / 1000,
    }
    // Before anybody can paste: what a terminal edits itself is shown.
    const coming = firstBack(request, redirectUri, listener, redirect.canPaste, over.signal)
    answer(line, facts, invitation(provider.label, request.url, listener !== undefined, redirect.canPaste))
    const back = await coming
    const outcome = await redeemCode(server, back.answer, { ...request, redirectUri }, systemClock)
    back.told(outcome.kind === 'tokens')
    if (outcome.kind === 'tokens') return outcome.tokens
    throw errorOf(outcome.kind, outcome.kind === 'refused' ? outcome.code : undefined)
  } finally {
    over.abort()
    listener?.close()
  }
}

/** Undefined: its port is taken, and the address has to be brought. */
async function listenerOf({ loopback, canPaste }: Redirect): Promise<LoopbackListener | undefined> {
  try {
    return await listenOnLoopback(loopback)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (canPaste) return undefined
    const place = `${loopback.host}:${loopback.port}`
    throw new InputError(
      `cannot listen on ${place} (${code}), where the browser is to come back to; end the program that does`,
      `无法监听浏览器返回的地址 ${place}（${code}），请先停止占用该端口的程序`,
    )
  }
}

/** @throws BrokerError authorization_timeout */
function firstBack(
  { state }: AuthorizationRequest,
  redirectUri: string,
  listener: LoopbackListener | undefined,
  canPaste: boolean,
  over: AbortSignal,
): Promise<Back> {
  const due = { redirectUri, stateHash: sha256(state) }
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new BrokerError('authorization_timeout')), LIFETIME_MS)
    over.addEventListener('abort', () => clearTimeout(late))
    if (listener)
      listener.onAddress = (address, told) => {
        const found = answerIn(address, due)
        if (found) resolve({ answer: found, told })
        return found !== undefined
      }
    if (!canPaste) return
    readLines(over, (text) => {
      const found = answerIn(text, due)
      if (found) resolve({ answer: found, told: () => {} })
      else if (text.trim() !== '') process.stderr.write(`${UNFIT[terminalLanguage(process.env)]}\n`)
    })
  })
}

const UNFIT = {
  en: 'This is not the address that this login ends at; copy all of it from the address bar.',
  zh: '该地址不是本次登录返回的地址，请从地址栏完整复制。',
}

/** However long they are, and unseen, for there is a code in them: what a terminal edits itself ends at 4,096 characters. */
function readLines(over: AbortSignal, onLine: (text: string) => void): void {
  const { stdin: input } = process
  const output = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input, output, terminal: input.isTTY === true })
  lines.on('line', onLine)
  // Ctrl-C in the editor of lines is no signal by itself.
  lines.on('SIGINT', () => {
    lines.close()
    process.kill(process.pid, 'SIGINT')
  })
  over.addEventListener('abort', () => {
    lines.close()
    input.unref?.()
  })
}

function invitation(label: string, url: string, isAwaited: boolean, canPaste: boolean): string {
  const paste = isAwaited
    ? '  Is the browser on another machine? Then it ends at a page that cannot be opened: paste its address here (it is not shown).\n'
    : '  The browser ends at a page that cannot be opened: paste its address here (it is not shown).\n'
  return `
  ${shown(label)}: open in a browser

    ${paint('loud', shown(url))}

${canPaste ? paste : ''}
`
}
