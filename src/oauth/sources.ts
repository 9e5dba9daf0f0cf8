/**
 * What a token call is made with, each time anew: read, or signed.
 */
import { createHash } from 'node:crypto'
import type { Provider } from '../provider/provider.ts'
import type { SimpleSource } from '../provider/simple-source.ts'
import type { Source } from '../provider/source.ts'
import { readMetadata } from './metadata.ts'
import { signJwt } from './signed-jwt.ts'
import { readSimpleSource } from './simple-sources.ts'

/** @param now epoch ms. @throws SourceTrouble */
export async function readSource(source: Source, now: number): Promise<string> {
  if (source.from === 'metadata') return readMetadata(source)
  return source.from === 'signed_jwt' ? (await signJwt(source.jwt, now)).jwt : readSimpleSource(source)
}

/** What lies in the files that a provider's requests are made with, as one text; undefined: there are none. */
export async function contentOfFiles({
  authorizationServer: server,
  subject,
}: Provider): Promise<string | undefined> {
  const all = [subject?.token, server?.clientAssertion, server?.privateKey, server?.certificate]
  const files = all.flatMap(filesOf)
  if (files.length === 0) return undefined
  const contents = await Promise.all(files.map((file) => readSimpleSource(file).catch(() => '')))
  return createHash('sha256').update(contents.join('\n')).digest('base64')
}

function filesOf(source: Source | undefined): SimpleSource[] {
  if (source?.from === 'signed_jwt') return filesOf(source.jwt.key)
  return source?.from === 'file' ? [source] : []
}
