/**
 * `aws_sigv4` of a provider file: what its calls are signed for, and where the keys come from.
 */
import Type from 'typebox'
import type { AwsKeys } from '../base/aws-signature.ts'
import type { Environment } from '../base/environment.ts'
import { Secret } from '../base/secret.ts'
import type { Fields } from './fields.ts'
import { parseTemplate, referencesOf, UnfitValue } from './placeholders.ts'
import { ProviderMistake } from './provider-mistake.ts'

const SOURCES = ['inputs', 'env', 'web_identity', 'container', 'file', 'imds'] as const
export type AwsSource = (typeof SOURCES)[number]

const line = Type.String({ minLength: 1 })

export const AWS_SIGV4_FILE = Type.Object(
  {
    region: line,
    service: line,
    /** The first that is configured counts, whatever comes of it. */
    credentials: Type.Optional(Type.Array(Type.Enum([...SOURCES]), { minItems: 1, uniqueItems: true })),
    /** A role to take on with them, and what its trust policy asks for. */
    role_arn: Type.Optional(line),
    external_id: Type.Optional(line),
    /** Bodies that are sent while they arrive go unsigned; without it they are refused. */
    unsigned_payload: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
type AwsSigV4File = Type.Static<typeof AWS_SIGV4_FILE>

export interface AwsSigV4Config {
  readonly region: string
  readonly service: string
  readonly sources: readonly AwsSource[]
  /** Of the config's inputs; undefined: it has none. */
  readonly keys: AwsKeys | undefined
  readonly roleArn: string | undefined
  readonly externalId: string | undefined
  readonly allowsUnsignedPayload: boolean
  /** Variables of AWS's own, those that are set. */
  readonly environment: ReadonlyMap<string, string>
  readonly secrets: ReadonlyMap<string, Secret>
}

/** As AWS's own libraries read them. */
const VARIABLES = [
  'AWS_ACCESS_KEY_ID',
  'AWS_ROLE_ARN',
  'AWS_ROLE_SESSION_NAME',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  'AWS_SHARED_CREDENTIALS_FILE',
  'AWS_PROFILE',
  'AWS_EC2_METADATA_DISABLED',
  'HOME',
] as const
const SECRETS = ['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_CONTAINER_AUTHORIZATION_TOKEN'] as const
/** Names of inputs that hold keys. */
const [KEY_ID, SECRET, SESSION] = ['access_key_id', 'secret_access_key', 'session_token'] as const
/** It becomes part of a host name, and of what is signed. */
const REGION = /^[a-z]{2,8}(?:-[a-z0-9]+)+-\d+$/

/** @throws ProviderMistake | UnfitValue */
export function toAwsSigV4(
  file: AwsSigV4File | undefined,
  fields: Fields,
  env: Environment,
): AwsSigV4Config | undefined {
  if (!file) return undefined
  const at = (name: string) => ['aws_sigv4', name]
  const region = fields.text(file.region, ...at('region')) ?? ''
  assertRegion(region, file.region, fields)
  const sources = file.credentials ?? SOURCES.filter((source) => source !== 'inputs' || fields.has(KEY_ID))
  const ofInput = (name: string) =>
    fields.has(name) ? fields.secret(`{${name}}`, ...at('credentials'))?.reveal() : undefined
  if (sources.includes('inputs') && !(fields.has(KEY_ID) && fields.has(SECRET)))
    throw new ProviderMistake(at('credentials'), `has inputs, which needs the inputs ${KEY_ID} and ${SECRET}`)
  const [accessKeyId, secretAccessKey] = [ofInput(KEY_ID), ofInput(SECRET)]
  // None of them stops the start: files that are shipped are not everybody's.
  const set = (names: readonly string[]) =>
    names.flatMap((name): [string, string][] => {
      const value = env[name]?.trim()
      return value ? [[name, value]] : []
    })
  return {
    region,
    service: file.service,
    sources,
    keys:
      accessKeyId && secretAccessKey
        ? { accessKeyId, secretAccessKey, sessionToken: ofInput(SESSION) }
        : undefined,
    roleArn: fields.text(file.role_arn, ...at('role_arn')),
    externalId: fields.text(file.external_id, ...at('external_id')),
    allowsUnsignedPayload: file.unsigned_payload ?? false,
    environment: new Map(set(VARIABLES)),
    secrets: new Map(set(SECRETS).map(([name, value]) => [name, new Secret(value)])),
  }
}

/** @param written as its file has it. @throws ProviderMistake | UnfitValue */
function assertRegion(region: string, written: string, { areFilled }: Fields): void {
  const [input] = written.includes('{') ? referencesOf(parseTemplate(written)) : []
  if (REGION.test(region) || (input && !areFilled)) return
  const english = 'is not the name of a region, such as us-east-1'
  if (input) throw new UnfitValue(input.name, english, '不是区域名称，例如 us-east-1')
  throw new ProviderMistake(['aws_sigv4', 'region'], english)
}
