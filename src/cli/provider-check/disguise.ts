/**
 * A provider with stand-ins in the place of whatever is secret of it, and of what is read only when it is called.
 */
import { Secret } from '../../base/secret.ts'
import type { AuthorizationServerConfig } from '../../provider/authorization-server-config.ts'
import type { AwsSigV4Config } from '../../provider/aws-sigv4.ts'
import type { MetadataSource } from '../../provider/metadata-source.ts'
import { referencesOf, type Template } from '../../provider/placeholders.ts'
import type { Provider } from '../../provider/provider.ts'
import type { SignedJwt } from '../../provider/signed-jwt-config.ts'
import type { SimpleSource } from '../../provider/simple-source.ts'
import type { Source } from '../../provider/source.ts'
import type { TokenStep } from '../../provider/token-request.ts'
import type { StandIns } from './stand-ins.ts'

export function disguised(provider: Provider, standIns: StandIns): Provider {
  const { authorizationServer: server, subject, signedJwt, tokenRequest, awsSigV4 } = provider
  return {
    ...provider,
    authorizationServer: server && disguisedServer(server, standIns),
    subject: subject && { ...subject, token: disguisedSource(subject.token, standIns) },
    signedJwt: signedJwt && withKey(signedJwt, standIns),
    tokenRequest: tokenRequest && disguisedSteps(tokenRequest, standIns),
    awsSigV4: awsSigV4 && disguisedAws(awsSigV4, standIns),
  }
}

function disguisedServer(server: AuthorizationServerConfig, standIns: StandIns): AuthorizationServerConfig {
  const { clientSecret, clientAssertion, privateKey, algorithm } = server
  return {
    ...server,
    clientSecret: clientSecret && unlessIsOne(clientSecret, 'client_secret', standIns),
    clientAssertion: clientAssertion && disguisedSource(clientAssertion, standIns),
    privateKey: privateKey && text(standIns.key('private_key', algorithm === 'ES256'), privateKey),
  }
}

/** What a signed one says is shown; what else there is stands for itself by its name. */
function disguisedSource(source: Source, standIns: StandIns): Source {
  if (source.from === 'signed_jwt') return { ...source, jwt: withKey(source.jwt, standIns) }
  if (source.from === 'token_request') return { ...source, steps: disguisedSteps(source.steps, standIns) }
  return disguisedText(source, standIns)
}

/** The machine's own service is asked here as any other host is. */
function disguisedSteps(steps: readonly TokenStep[], standIns: StandIns): TokenStep[] {
  return steps.map((step) => ({
    ...step,
    isMetadata: false,
    basic: step.basic && {
      ...step.basic,
      password: written(step.basic.password) ? [standIns.of('password')] : step.basic.password,
    },
    sign: step.sign && {
      ...step.sign,
      accessKey: disguisedText(step.sign.accessKey, standIns),
      secretKey: disguisedText(step.sign.secretKey, standIns),
    },
  }))
}

/** In the file itself: nothing in it is filled in. */
function written(template: Template): boolean {
  return referencesOf(template).length === 0
}

function disguisedText(source: SimpleSource | MetadataSource, standIns: StandIns): SimpleSource {
  const name = source.name.split('.').at(-1) ?? source.name
  const known = source.from === 'text' ? source.text : undefined
  return text(known ? unlessIsOne(known, name, standIns).reveal() : standIns.of(name), source)
}

function withKey(jwt: SignedJwt, standIns: StandIns): SignedJwt {
  const { algorithm } = jwt
  const key = algorithm === 'HS256' ? standIns.of('key') : standIns.key('key', algorithm === 'ES256')
  return { ...jwt, key: text(key, jwt.key) }
}

function text(value: string, { name }: Pick<SimpleSource, 'name'>): SimpleSource {
  return { from: 'text', name, text: new Secret(value), lacks: '' }
}

/** What an input gave is one already, and tells more. */
function unlessIsOne(secret: Secret, name: string, standIns: StandIns): Secret {
  return standIns.areIn(secret.reveal()) ? secret : standIns.secret(name)
}

function disguisedAws(config: AwsSigV4Config, standIns: StandIns): AwsSigV4Config {
  const { keys, environment, secrets } = config
  const id = environment.has('AWS_ACCESS_KEY_ID')
    ? [['AWS_ACCESS_KEY_ID', standIns.of('AWS_ACCESS_KEY_ID')] as const]
    : []
  return {
    ...config,
    keys: keys && {
      accessKeyId: standIns.of('access_key_id'),
      secretAccessKey: standIns.of('secret_access_key'),
      sessionToken: keys.sessionToken && standIns.of('session_token'),
    },
    environment: new Map([...environment, ...id]),
    secrets: new Map([...secrets.keys()].map((name) => [name, standIns.secret(name)])),
  }
}
