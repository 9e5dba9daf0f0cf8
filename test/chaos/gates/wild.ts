/**
 * The set of the stream gates: one broker in front of a wild upstream, and calls that tell it what to do.
 */
import { request } from 'undici'
import { startWildUpstream, type WildUpstream } from '../fixtures/wild-upstream.ts'
import type { Lab } from '../lab.ts'
import { openInFrontOf, type Scene } from '../stage.ts'

export type WildScene = Scene<WildUpstream>

const MODEL = 'wild-model'

export function openWild(lab: Lab): Promise<WildScene> {
  return openInFrontOf(lab, startWildUpstream, { model: MODEL, nodeArgs: ['--expose-gc'] })
}

export function bodyOf(user: string): string {
  return JSON.stringify({ model: MODEL, user, stream: true, messages: [{ role: 'user', content: 'hi' }] })
}

/** @param origin of the broker, or of upstream itself, which asks for no key */
export function post(origin: string, key: string, user: string, signal?: AbortSignal) {
  return request(`${origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: bodyOf(user),
    ...(signal && { signal }),
  })
}

/** A whole call, whatever its end. @returns its text so far if it was cut */
export async function ask(
  { broker }: Pick<WildScene, 'broker'>,
  key: string,
  user: string,
): Promise<{ status: number; text: string; isCut: boolean }> {
  const answer = await post(broker.origin, key, user)
  let text = ''
  try {
    for await (const chunk of answer.body) text += chunk
    return { status: answer.statusCode, text, isCut: false }
  } catch {
    return { status: answer.statusCode, text, isCut: true }
  }
}
