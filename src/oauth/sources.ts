/**
 * What a token call is made with, each time anew: read, signed, or asked for.
 */
import { createHash } from 'node:crypto'
import type { Provider } from '../provider/provider.ts'
import type { SimpleSource } from '../provider/simple-source.ts'
import { type Source, sourcesOf, stepsOf } from '../provider/source.ts'
import { readMetadata } from './metadata.ts'
import { signJwt } from './signed-jwt.ts'
import { readSimpleSource, SourceTrouble } from './simple-sources.ts'
import { type Asking, askSteps } from './steps.ts'

/** @throws SourceTrouble */
export async function readSource(source: Source, asking: Asking): Promise<string> {
  switch (source.from) {
    case 'metadata':
      return readMetadata(source)
    case 'signed_jwt':
      return (await signJwt(source.jwt, asking.clock())).jwt
    case 'token_request':
      return tokenOf(source, asking)
    default:
      return readSimpleSource(source)
  }
}

/** Another server's token. @throws SourceTrouble */
async function tokenOf(
  { name, steps }: Extract<Source, { from: 'token_request' }>,
  asking: Asking,
): Promise<string> {
  const renewal = await askSteps(steps, asking)
  if (renewal.kind === 'tokens') return renewal.tokens.accessToken
  throw new SourceTrouble(`${name}: ${renewal.why}`, renewal.kind === 'refused')
}

/** What lies in the files that a provider's requests are made with, as one text; undefined: there are none. */
export async function contentOfFiles(provider: Provider): Promise<string | undefined> {
  const signings = stepsOf(provider).flatMap(({ sign }) => (sign ? [sign.accessKey, sign.secretKey] : []))
  const own = provider.signedJwt ? [provider.signedJwt.key] : []
  const files = [...sourcesOf(provider), ...signings, ...own].flatMap(filesOf)
  if (files.length === 0) return undefined
  const contents = await Promise.all(files.map((file) => readSimpleSource(file).catch(() => '')))
  return createHash('sha256').update(contents.join('\n')).digest('base64')
}

function filesOf(source: Source): SimpleSource[] {
  if (source.from === 'signed_jwt') return filesOf(source.jwt.key)
  return source.from === 'file' ? [source] : []
}
