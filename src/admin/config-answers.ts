/**
 * Answers about model configs and what they are made for (docs/api.md, Management), in the words of the wire.
 */
import Type from 'typebox'
import { type Answer, instant, nextCursor, nullable, pageFields, text } from '../base/answers.ts'
import { CREDENTIAL_KINDS } from '../provider/credential-kinds.ts'
import { CAUSES, type Cause } from './causes.ts'
import { NEXT_ACTIONS } from './token-causes.ts'

const CREDENTIAL_KIND = Type.Enum(CREDENTIAL_KINDS, { title: 'CredentialKind' })
export type CredentialKind = Answer<typeof CREDENTIAL_KIND>

const CREDENTIAL_STATE = Type.Enum(
  ['active', 'refreshing', 'uncertain', 'cooling_down', 'refused', 'reauth_required', 'missing'],
  { title: 'CredentialState', description: 'docs/refresh.md tells what each means.' },
)
export type CredentialState = Answer<typeof CREDENTIAL_STATE>

const NEXT_ACTION = Type.Enum([...NEXT_ACTIONS], {
  title: 'NextAction',
  description: 'What a person should do.',
})
export type NextAction = Answer<typeof NEXT_ACTION>

const SESSION = Type.Object(
  {
    user_id: nullable(text('Whose it is.')),
    issued_at: nullable(instant('When it began.')),
    expires_at: nullable(instant('When it ends.')),
    days_remaining: nullable(Type.Number({ description: 'To one decimal; below 0 once it is over.' })),
  },
  { title: 'WebSession', description: "What a web session's token says of itself." },
)
export type WebSession = Answer<typeof SESSION>

const CREDENTIAL = Type.Object(
  {
    kind: nullable(CREDENTIAL_KIND),
    state: CREDENTIAL_STATE,
    expires_at: nullable(instant('When the token ends.')),
    refreshed_at: nullable(instant('When the token was got.')),
    accepted_at: nullable(instant('When a model endpoint last took it; null: never yet.')),
    scope: nullable(Type.String()),
    resource_url: nullable(text('Where the token says that its model endpoint is.')),
    fingerprint: nullable(text('The first 16 characters of the SHA-256 of what renews it, or of the key.')),
    next_action: NEXT_ACTION,
    reason: nullable(text('Why that has to be done.')),
    session: Type.Optional(SESSION),
  },
  { title: 'Credential', description: 'Never a token, never an API key.' },
)

const LISTED_MODEL = Type.Object(
  { model_id: Type.String(), support_vision: Type.Boolean(), support_thinking: Type.Boolean() },
  { title: 'Model' },
)

export const MODEL_CONFIG = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    provider: Type.String(),
    base_url: text("The account's own; '' where the provider or the token names it."),
    models: Type.Array(LISTED_MODEL),
    aliases: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Other names of its models.' }),
    ),
    is_active: Type.Boolean(),
    external_id: nullable(Type.String()),
    inputs: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Union([
          Type.String(),
          Type.Object(
            {
              set: Type.Literal(true),
              fingerprint: text(
                'Of 8 hex digits, under the encryption key: tells two values apart, and no more.',
              ),
            },
            { title: 'SecretInput' },
          ),
        ]),
        { description: "What it says for its provider's inputs; of one that is secret only that it is set." },
      ),
    ),
    created_at: instant('When it was made.'),
    updated_at: instant('Of its last change; sent back with the next one, it is the lock.'),
    credential: CREDENTIAL,
  },
  { title: 'ModelConfig', description: 'An account.' },
)
export type ModelConfigItem = Answer<typeof MODEL_CONFIG>

export const MODEL_CONFIG_PAGE = Type.Object(
  { ...pageFields, next_cursor: nextCursor, items: Type.Array(MODEL_CONFIG) },
  { title: 'ModelConfigPage' },
)
export type ModelConfigPage = Answer<typeof MODEL_CONFIG_PAGE>

const DEVICE_LOGIN = Type.Object(
  {
    session_id: Type.String(),
    user_code: text('For the page of `verification_uri`.'),
    verification_uri: Type.String(),
    verification_uri_complete: text('The same page with the code filled in.'),
    expires_in: Type.Integer({ description: 'Seconds.' }),
    interval: Type.Integer({ description: 'Seconds between two looks.' }),
  },
  { title: 'AccountLogin' },
)
const CODE_LOGIN = Type.Object(
  {
    session_id: Type.String(),
    authorization_url: text('Where to send the browser, in a window of its own.'),
    redirect_uri: text('Where that ends.'),
    callback: Type.Boolean({
      description: 'There is the broker: the browser that made this call comes back to it by itself.',
    }),
    paste: Type.Boolean({
      description: 'The address that a browser ended at may be brought to `POST /api/oauth/callback`.',
    }),
    expires_in: Type.Integer({ description: 'Seconds.' }),
    interval: Type.Integer({ description: 'Seconds between two looks.' }),
  },
  { title: 'AccountCodeLogin' },
)
export const LOGIN_BEGUN = Type.Union([DEVICE_LOGIN, CODE_LOGIN], {
  title: 'BegunLogin',
  description:
    'By device flow or, of a provider of `authorization_code`, by a browser; the answer then sets a cookie.',
})
export type LoginBegun = Answer<typeof LOGIN_BEGUN>

export const LOGIN_STANDING = Type.Object(
  {
    status: Type.Enum(['pending', 'success']),
    retry_after: Type.Optional(Type.Integer({ description: 'Milliseconds until the next look.' })),
  },
  { title: 'AccountLoginStatus' },
)
export type LoginStanding = Answer<typeof LOGIN_STANDING>

export const LISTED_MODELS = Type.Object(
  {
    models: Type.Array(Type.String(), { description: "In the endpoint's order." }),
    reason: nullable(text("Why there are none, in the caller's language.")),
  },
  { title: 'ListedModels', description: 'What an endpoint says that it serves.' },
)
export type ListedModels = Answer<typeof LISTED_MODELS>

export const CONNECTION_TEST_ANSWER = Type.Object(
  {
    success: Type.Boolean(),
    message: text("What came of it, in the caller's language."),
    raw_error: Type.Optional(text("The beginning of the endpoint's answer; the key is masked in it.")),
  },
  { title: 'ConnectionTestAnswer' },
)
export type ConnectionTestAnswer = Answer<typeof CONNECTION_TEST_ANSWER>

export const TOKEN = Type.Object(
  {
    access_token: Type.String(),
    token_type: Type.String(),
    expires_at: nullable(instant('When it ends; null where nobody said.')),
  },
  { title: 'AccessToken' },
)
export type HandedToken = Answer<typeof TOKEN>

const CHECK = Type.Object(
  {
    name: Type.Enum(['login', 'expiry', 'refresh', 'source', 'clock', 'host', 'completion', 'sisters']),
    ok: Type.Boolean(),
    detail: text("In the caller's language."),
    detail_zh: text('In Chinese.'),
  },
  { title: 'Check' },
)
export type Check = Answer<typeof CHECK>

const cause = Type.Enum(Object.keys(CAUSES) as Cause[], { description: 'Stable, for programs.' })
export const DIAGNOSIS = Type.Object(
  {
    ok: Type.Boolean(),
    code: cause,
    cause: text("What is wrong, in the caller's language."),
    advice: text("What to do, in the caller's language."),
    cause_zh: text('In Chinese.'),
    advice_zh: text('In Chinese.'),
    next_action: NEXT_ACTION,
    help_url: nullable(text('Where the vendor gives keys and shows accounts, if that is what helps.')),
    upstream_status: nullable(Type.Integer({ description: 'What the endpoint answered with.' })),
    checks: Type.Array(CHECK),
  },
  { title: 'Diagnosis' },
)
export type Diagnosis = Answer<typeof DIAGNOSIS>

const INPUT = Type.Object(
  {
    name: Type.String(),
    label: text('For people.'),
    label_zh: text('In Chinese, where the file has that.'),
    help: nullable(Type.String()),
    help_zh: nullable(Type.String()),
    help_url: nullable(text('Where a person finds the value.')),
    example: nullable(Type.String()),
    type: Type.Enum(['text', 'json', 'pem', 'host']),
    secret: Type.Boolean({ description: 'It is never shown again.' }),
    required: Type.Boolean(),
    has_default: Type.Boolean({ description: 'It may be left out.' }),
    default: nullable(text('What counts where it is left out; of one that is secret never told.')),
    pattern: nullable(text('A regular expression of ECMAScript, with the flag u.')),
    choices: nullable(Type.Array(Type.String())),
    file: nullable(
      Type.Object(
        { accept: nullable(text('As of an input element of HTML.')), max_bytes: Type.Integer() },
        { title: 'InputFile' },
      ),
    ),
    allowed_suffixes: nullable(Type.Array(Type.String())),
    any_host: Type.Boolean({ description: 'Whoever fills it in decides where the credential goes.' }),
  },
  { title: 'ProviderInput' },
)
export type ProviderInput = Answer<typeof INPUT>

const PROVIDER = Type.Object(
  {
    name: Type.String(),
    label: text('For people.'),
    label_zh: text('In Chinese, where the file has that.'),
    vendor: text('Whose it is; the label where the file does not say.'),
    vendor_zh: Type.String(),
    variant: nullable(text("Among its vendor's: the plan, or the way to authenticate.")),
    variant_zh: nullable(Type.String()),
    region: nullable(text('Among those of one variant.')),
    region_zh: nullable(Type.String()),
    help_url: nullable(text('Where a person gets a key, a session or an account.')),
    credential: CREDENTIAL_KIND,
    base_url: nullable(Type.String()),
    models: Type.Array(Type.String()),
    serves_completions: Type.Boolean({ description: 'Else it keeps a login alive, and that is all.' }),
    missing_lines: nullable(text('Of a template: what to write into CONFIG_FILE.')),
    missing_variables: Type.Array(Type.String(), {
      description: 'Of the environment: read by the file, and not set.',
    }),
    inputs: Type.Array(INPUT, {
      description: 'What each account says for itself, in the order of its form.',
    }),
  },
  { title: 'Provider' },
)
export type ProviderItem = Answer<typeof PROVIDER>

export const PROVIDERS = Type.Object(
  { config_file: nullable(text('The path of CONFIG_FILE.')), items: Type.Array(PROVIDER) },
  { title: 'Providers' },
)
export type Providers = Answer<typeof PROVIDERS>
