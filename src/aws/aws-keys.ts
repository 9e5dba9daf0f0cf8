/**
 * Where a provider's AWS keys come from: the first source that is configured, and with them a role if the file names
 * one. What is asked for once more costs nothing; nothing is stored.
 *
 * Files are read each time, for others change them. Shells are never run (`credential_process`), nor is single sign-on
 * known here: a helper beside the broker may write a file.
 */
import { readFile } from 'node:fs/promises'
import { Agent, type Dispatcher } from 'undici'
import { type AwsKeys, AwsSigner } from '../base/aws-signature.ts'
import { type Clock, SECOND } from '../base/clock.ts'
import { LOOPBACK } from '../base/network.ts'
import type { AwsSigV4Config, AwsSource } from '../provider/aws-sigv4.ts'
import type { Egress } from '../provider/egress.ts'
import { type AwsQuestion, askAws, type FetchedKeys, keysInJson, keysInXml, NoKeys } from './aws-question.ts'

const STS_MS = 8 * SECOND
/** It is on the machine itself, or there is none. */
const METADATA_MS = 2 * SECOND
const MAX_FILE_CHARACTERS = 256 * 1024
const METADATA = 'http://169.254.169.254/latest'
const CONTAINER = 'http://169.254.170.2'
/** Addresses at which a machine gives out keys, over plain http. */
const CONTAINER_HOSTS: ReadonlySet<string> = new Set(['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]'])
const SESSION_NAME = 'token-broker'
const FORM = ['content-type', 'application/x-www-form-urlencoded']
const ROLE_SECONDS = 3_600

export class AwsKeySources {
  readonly #dispatcherFor: (egress: Egress | undefined) => Dispatcher
  readonly #metadata: Dispatcher
  readonly #clock: Clock
  readonly #read: typeof readText

  /**
   * @param dispatcherFor by which way STS is asked
   * @param metadata to the machine's own services: never through a proxy
   * @param read gives what a file holds
   */
  constructor(
    dispatcherFor: (egress: Egress | undefined) => Dispatcher,
    clock: Clock,
    metadata: Dispatcher = new Agent({ pipelining: 0 }),
    read = readText,
  ) {
    this.#dispatcherFor = dispatcherFor
    this.#clock = clock
    this.#metadata = metadata
    this.#read = read
  }

  /** @throws NoKeys */
  async fetch(config: AwsSigV4Config, egress?: Egress): Promise<FetchedKeys> {
    const sts = this.#dispatcherFor(egress)
    const source = config.sources.find((one) => isConfigured(one, config))
    if (!source) throw new NoKeys(`none of ${config.sources.join(', ')} is configured`, true)
    const keys = await this.#from(source, config, sts)
    return config.roleArn === undefined ? keys : this.#assumeRole(config.roleArn, keys, config, sts)
  }

  async #from(source: AwsSource, config: AwsSigV4Config, sts: Dispatcher): Promise<FetchedKeys> {
    const { keys, environment, secrets } = config
    switch (source) {
      case 'inputs':
        return { ...(keys as AwsKeys), expiresAt: undefined }
      case 'env':
        return {
          accessKeyId: environment.get('AWS_ACCESS_KEY_ID') ?? '',
          secretAccessKey: secrets.get('AWS_SECRET_ACCESS_KEY')?.reveal() ?? '',
          sessionToken: secrets.get('AWS_SESSION_TOKEN')?.reveal(),
          expiresAt: undefined,
        }
      case 'web_identity':
        return this.#webIdentity(config, sts)
      case 'container':
        return this.#container(config)
      case 'file':
        return ofProfile(environment, this.#read)
      case 'imds':
        return this.#instance()
    }
  }

  async #webIdentity({ region, environment }: AwsSigV4Config, sts: Dispatcher): Promise<FetchedKeys> {
    const token = await this.#read(environment.get('AWS_WEB_IDENTITY_TOKEN_FILE') ?? '')
    // It is being written.
    if (token === '') throw new NoKeys('AWS_WEB_IDENTITY_TOKEN_FILE is empty', false)
    const form = {
      Action: 'AssumeRoleWithWebIdentity',
      RoleArn: environment.get('AWS_ROLE_ARN') ?? '',
      RoleSessionName: environment.get('AWS_ROLE_SESSION_NAME') ?? SESSION_NAME,
      WebIdentityToken: token,
    }
    return askSts(region, form, sts, (question) => question)
  }

  #assumeRole(
    role: string,
    keys: AwsKeys,
    { region, externalId }: AwsSigV4Config,
    sts: Dispatcher,
  ): Promise<FetchedKeys> {
    const form = {
      Action: 'AssumeRole',
      RoleArn: role,
      RoleSessionName: SESSION_NAME,
      DurationSeconds: String(ROLE_SECONDS),
      ...(externalId !== undefined && { ExternalId: externalId }),
    }
    const signer = new AwsSigner(keys, { region, service: 'sts' })
    return askSts(region, form, sts, ({ url, method, headers, body }) => {
      const { host, pathname: path } = new URL(url)
      return { url, method, body, headers: signer.sign({ method, host, path, headers, body }, this.#clock()) }
    })
  }

  /** Of ECS and of EKS's pod identities. */
  async #container({ environment, secrets }: AwsSigV4Config): Promise<FetchedKeys> {
    const relative = environment.get('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI')
    const url = relative
      ? `${CONTAINER}${relative}`
      : (environment.get('AWS_CONTAINER_CREDENTIALS_FULL_URI') ?? '')
    if (!isOfThisMachine(url))
      throw new NoKeys('AWS_CONTAINER_CREDENTIALS_FULL_URI is not an address for that', true)
    const file = environment.get('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE')
    const token = file ? await this.#read(file) : secrets.get('AWS_CONTAINER_AUTHORIZATION_TOKEN')?.reveal()
    const headers = token ? ['authorization', token] : []
    return keysInJson('the container', await this.#askMachine('the container', url, { headers }))
  }

  /** IMDSv2: with a token of its own, or not at all. */
  async #instance(): Promise<FetchedKeys> {
    const who = 'the instance metadata'
    const put = { method: 'PUT' as const, headers: ['x-aws-ec2-metadata-token-ttl-seconds', '300'] }
    const token = (await this.#askMachine(who, `${METADATA}/api/token`, put)).trim()
    const headers = ['x-aws-ec2-metadata-token', token]
    const folder = `${METADATA}/meta-data/iam/security-credentials/`
    const role = (await this.#askMachine(who, folder, { headers })).trim()
    if (!/^[\w+=,.@-]+$/.test(role)) throw new NoKeys(`${who} names no role`, true)
    return keysInJson(who, await this.#askMachine(who, folder + role, { headers }))
  }

  #askMachine(who: string, url: string, question: Partial<AwsQuestion>): Promise<string> {
    const all: AwsQuestion = { method: 'GET', headers: [], body: null, ...question, url }
    return askAws(who, all, this.#metadata, METADATA_MS)
  }
}

function isConfigured(source: AwsSource, { keys, environment, secrets }: AwsSigV4Config): boolean {
  switch (source) {
    case 'inputs':
      return keys !== undefined
    case 'env':
      return environment.has('AWS_ACCESS_KEY_ID') && secrets.has('AWS_SECRET_ACCESS_KEY')
    case 'web_identity':
      return environment.has('AWS_WEB_IDENTITY_TOKEN_FILE') && environment.has('AWS_ROLE_ARN')
    case 'container':
      return ['RELATIVE', 'FULL'].some((kind) => environment.has(`AWS_CONTAINER_CREDENTIALS_${kind}_URI`))
    case 'file':
      return environment.has('AWS_SHARED_CREDENTIALS_FILE') || environment.has('AWS_PROFILE')
    case 'imds':
      return environment.get('AWS_EC2_METADATA_DISABLED')?.toLowerCase() !== 'true'
  }
}

/** https, or one of the addresses that never leave the machine. */
function isOfThisMachine(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username } = new URL(text)
  if (username) return false
  return (
    protocol === 'https:' ||
    (protocol === 'http:' && (CONTAINER_HOSTS.has(hostname) || LOOPBACK.test(hostname)))
  )
}

/** A profile of AWS's shared credentials file. @throws NoKeys */
async function ofProfile(
  environment: AwsSigV4Config['environment'],
  read: typeof readText,
): Promise<FetchedKeys> {
  const file = environment.get('AWS_SHARED_CREDENTIALS_FILE') ?? `${environment.get('HOME')}/.aws/credentials`
  const profile = environment.get('AWS_PROFILE') ?? 'default'
  const values = profileIn(await read(file), profile)
  const accessKeyId = values?.get('aws_access_key_id')
  const secretAccessKey = values?.get('aws_secret_access_key')
  if (!accessKeyId || !secretAccessKey)
    throw new NoKeys(`the credentials file holds no keys of profile ${profile}`, true)
  return {
    accessKeyId,
    secretAccessKey,
    sessionToken: values?.get('aws_session_token'),
    expiresAt: undefined,
  }
}

/** `[name]`, then lines of `name = value`; `#` and `;` begin comments. */
function profileIn(text: string, profile: string): ReadonlyMap<string, string> | undefined {
  let values: Map<string, string> | undefined
  let isOurs = false
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[\s*(?:profile\s+)?([^\]]*?)\s*\]/.exec(line)
    if (section) isOurs = section[1] === profile
    const [, name, value] = /^\s*([A-Za-z_]+)\s*=\s*(\S*)/.exec(line) ?? []
    if (!isOurs || name === undefined) continue
    values ??= new Map()
    values.set(name.toLowerCase(), value ?? '')
  }
  return values
}

/** Without white space and a byte order mark around it. @throws NoKeys: it may be about to be replaced */
async function readText(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).slice(0, MAX_FILE_CHARACTERS).trim()
  } catch (error) {
    throw new NoKeys(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`, false)
  }
}

async function askSts(
  region: string,
  form: Readonly<Record<string, string>>,
  dispatcher: Dispatcher,
  authorize: (question: AwsQuestion) => AwsQuestion,
): Promise<FetchedKeys> {
  const url = `https://sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`
  const body = Buffer.from(new URLSearchParams({ ...form, Version: '2011-06-15' }).toString())
  const question = authorize({ url, method: 'POST', headers: [...FORM], body })
  return keysInXml('STS', await askAws('STS', question, dispatcher, STS_MS))
}
