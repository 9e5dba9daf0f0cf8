/**
 * How a client proves who it is at a token endpoint (RFC 6749 §2.3, RFC 7521 §4.2, RFC 7523 §2.2).
 *
 * Built for each request: what it proves itself with may have been replaced since the last one.
 */
import { createHash, type webcrypto, X509Certificate } from 'node:crypto'
import {
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  modifyAssertion,
  None,
  PrivateKeyJwt,
  type AuthorizationServer as ServerMetadata,
} from 'oauth4webapi'
import type { AuthorizationServerConfig } from '../provider/authorization-server-config.ts'
import type { Source } from '../provider/source.ts'
import { SourceTrouble } from './simple-sources.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** @param read what a source says now. @throws SourceTrouble */
export async function clientAuthentication(
  config: AuthorizationServerConfig,
  server: ServerMetadata,
  read: (source: Source) => Promise<string>,
): Promise<ClientAuth> {
  const { clientSecret, clientAssertion, privateKey } = config
  switch (config.clientAuthentication) {
    case 'private_key_jwt':
      if (privateKey) return signingClient(config, await read(privateKey), server, read)
      break
    case 'client_assertion':
      if (clientAssertion) return assertedClient(await read(clientAssertion))
      break
    case 'client_secret_post':
      if (clientSecret) return ClientSecretPost(clientSecret.reveal())
      break
    case 'client_secret_basic':
      if (clientSecret) return ClientSecretBasic(clientSecret.reveal())
      break
    case 'tls': // shown when the connection is made (RFC 8705 §2)
    case 'none':
  }
  // Some who trade a token for another one take no client at all, and refuse what they do not expect.
  return config.clientId === '' ? () => {} : None()
}

function assertedClient(assertion: string): ClientAuth {
  return (_, { client_id }, body) => {
    body.set('client_id', client_id)
    body.set('client_assertion_type', JWT_BEARER)
    body.set('client_assertion', assertion)
  }
}

async function signingClient(
  config: AuthorizationServerConfig,
  pem: string,
  { issuer, token_endpoint }: ServerMetadata,
  read: (source: Source) => Promise<string>,
): Promise<ClientAuth> {
  const { keyId, assertionAudience, certificate } = config
  const key = await importKey(pem, config)
  const thumbprint = certificate && thumbprintOf(await read(certificate), certificate.name)
  const audience =
    assertionAudience === 'token_endpoint'
      ? token_endpoint
      : assertionAudience === 'issuer'
        ? issuer
        : assertionAudience
  return PrivateKeyJwt(keyId === undefined ? key : { key, kid: keyId }, {
    [modifyAssertion]: (header, payload) => {
      if (audience !== undefined) payload['aud'] = audience
      if (thumbprint !== undefined) header['x5t#S256'] = thumbprint
    },
  })
}

/** PKCS #8 in PEM. @throws SourceTrouble */
async function importKey(
  pem: string,
  { algorithm, privateKey }: AuthorizationServerConfig,
): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64')
  try {
    return await crypto.subtle.importKey('pkcs8', der, ALGORITHMS[algorithm], false, ['sign'])
  } catch {
    throw new SourceTrouble(`${privateKey?.name} is not a PKCS #8 key in PEM for ${algorithm}`, true)
  }
}

const ALGORITHMS = {
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
} as const

/** RFC 7515 §4.1.8. @throws SourceTrouble */
function thumbprintOf(pem: string, name: string): string {
  try {
    return createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url')
  } catch {
    throw new SourceTrouble(`${name} is not a certificate in PEM`, true)
  }
}
