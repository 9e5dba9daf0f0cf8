/**
 * A step that is signed in the place of showing a secret.
 */
import { AwsSigner } from '../base/aws-signature.ts'
import type { StepSigning } from '../provider/token-request.ts'
import { readSimpleSource, SourceTrouble } from './simple-sources.ts'
import type { StepRequest } from './step-request.ts'
import { isToken } from './token-response.ts'

/** @param now epoch ms. @throws SourceTrouble */
export async function signedStep(
  request: StepRequest,
  signing: StepSigning,
  now: number,
): Promise<StepRequest> {
  const [accessKeyId, secretAccessKey] = await Promise.all([
    readSimpleSource(signing.accessKey),
    readSimpleSource(signing.secretKey),
  ])
  if (!isToken(accessKeyId))
    throw new SourceTrouble(`${signing.accessKey.name}: has characters that no header can have`, true)
  const signer = new AwsSigner({ accessKeyId, secretAccessKey, sessionToken: undefined }, signing)
  const { host, pathname, search } = new URL(request.url)
  const signed = signer.sign(
    {
      ...{ method: request.method, host, path: pathname + search },
      headers: Object.entries(request.headers).flat(),
      body: request.body === undefined ? null : Buffer.from(request.body),
    },
    now,
  )
  const pairs = signed.flatMap((name, index) => (index % 2 === 0 ? [[name, signed[index + 1]]] : []))
  return { ...request, headers: Object.fromEntries(pairs) }
}
