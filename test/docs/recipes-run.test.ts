/** Every command of docs/recipes, run as it stands there, against strict servers under the names the page uses. */
import { readdirSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sessionToken, startOpenWebUi } from '../seed/open-webui.ts'
import { refusalOf } from '../support/aws-server.ts'
import { startBroker } from '../support/broker.ts'
import { selfSigned } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { CONFIDENTIAL_CLIENT, CONFIDENTIAL_SECRET, startIndependentServer } from '../support/oidc-provider.ts'
import { testWhere, whatIsMissing } from '../support/test-where.ts'
import { STAND_INS } from './fixtures/clients.ts'
import { asIfOutside, keyOf, startModels } from './fixtures/outside.ts'
import { runRecipe } from './fixtures/recipe.ts'
import { VENDORS } from './fixtures/vendors.ts'

const run = new Set<string>()
/** Run beside these. */
const OF_VENDORS = new Set(VENDORS.map(({ page }) => page))

t.test('keycloak-client-credentials.md', async (t) => {
  const pair = selfSigned(['keycloak.example.com', 'models.example.com'])
  const issuer = 'https://keycloak.example.com/realms/main'
  const keycloak = await startIndependentServer(t, { secure: { issuer, pair } })
  const models = await startModels(
    t,
    async (request) => (await keycloak.introspect(keyOf(request))).active,
    pair,
  )
  const env = await asIfOutside(t, pair, {
    'keycloak.example.com:443': keycloak.securePort ?? 0,
    'models.example.com:443': models,
  })
  const output = await recipe(t, 'keycloak-client-credentials.md', {
    replace: {
      'client_id=token-broker': `client_id=${CONFIDENTIAL_CLIENT}`,
      'the-secret-of-the-client': CONFIDENTIAL_SECRET,
    },
    env,
  })
  t.match(output, /x-token-broker-trace: config=models; attempt=1/i)
  t.match(output, 'Hello yourself')
  t.equal(keycloak.counts.clientCredentials, 1)
})

/** @param regions host → whether it knows the key */
async function startModelStudio(t: Test, regions: Record<string, boolean>): Promise<Record<string, string>> {
  const hosts = Object.keys(regions).map((name) => `${name}.aliyuncs.com`)
  const pair = selfSigned(hosts)
  const names: Record<string, number> = {}
  for (const [name, knows] of Object.entries(regions)) {
    const isKnown = async (request: IncomingMessage) => knows && keyOf(request) === DASHSCOPE_KEY
    names[`${name}.aliyuncs.com:443`] = await startModels(t, isKnown, pair, '/compatible-mode/v1')
  }
  return asIfOutside(t, pair, names)
}

const DASHSCOPE_KEY = 'sk-0123456789abcdef0123456789abcdef'

t.test('dashscope-key.md', async (t) => {
  const env = await startModelStudio(t, { 'dashscope-intl': true })
  const output = await recipe(t, 'dashscope-key.md', { replace: { 'sk-your-key': DASHSCOPE_KEY }, env })
  t.match(output, '✓ qwen: Everything works')
  t.match(output, 'Hello yourself')
})

t.test('dashscope-key.md, with the key of another region', async (t) => {
  const regions = { 'dashscope-us': false, dashscope: false, 'cn-hongkong.dashscope': false }
  const env = await startModelStudio(t, { ...regions, 'dashscope-intl': true })
  const replace = { 'sk-your-key': DASHSCOPE_KEY, 'provider=dashscope-intl': 'provider=dashscope-us' }
  const failed = await recipe(t, 'dashscope-key.md', { replace, env }).catch(String)
  t.match(failed, '✗ qwen: The key belongs to another plan or region than the URL')
  t.match(
    failed,
    /It is a key of DashScope, international \(Singapore\): connect it with provider dashscope-intl/,
  )
})

t.test('bedrock.md', async (t) => {
  const host = 'bedrock-mantle.eu-west-1.api.aws'
  const pair = selfSigned([host])
  const keys = {
    accessKeyId: 'AKIAIOSFODNN7RECIPES',
    secretAccessKey: 'a-recipes-secret',
    sessionToken: undefined,
  }
  const place = { region: 'eu-west-1', service: 'bedrock-mantle' }
  const isSigned = async (request: IncomingMessage, body: string) => {
    const refusal = await refusalOf(request, Buffer.from(body), new Map([[keys.accessKeyId, keys]]), place)
    return refusal === undefined
  }
  const models = await startModels(t, isSigned, pair, '/openai/v1')
  const output = await recipe(t, 'bedrock.md', {
    replace: {
      'AWS_REGION=us-east-1': `AWS_REGION=${place.region}`,
      AKIAIOSFODNN7EXAMPLE: keys.accessKeyId,
      'your-secret-access-key': keys.secretAccessKey,
    },
    env: await asIfOutside(t, pair, { [`${host}:443`]: models }),
  })
  t.match(output, '✓ bedrock: Everything works')
  t.match(output, 'Hello yourself')
})

t.test('qwen-chat-session.md', async (t) => {
  const pair = selfSigned(['chat.qwen.ai'])
  const server = await startOpenWebUi(t, 7, pair)
  const env = await asIfOutside(t, pair, { 'chat.qwen.ai:443': Number(new URL(server.origin).port) })
  const session = sessionToken(2)
  const output = await recipe(t, 'qwen-chat-session.md', {
    replace: { 'paste-the-token-here': session },
    env,
  })
  t.match(output, /days remaining +2/)
  t.match(output, '"name":"User Name"', 'chat.qwen.ai takes the token')
  t.match(output, '✓ web: Everything works')
  const { access_token } = JSON.parse(/\{"access_token".*\}/.exec(output)?.[0] ?? '{}')
  t.match(access_token, /^ey.*\..*\./)
  t.not(access_token, session, 'renewed, for it was due')
})

t.test('models-on-your-network.md', async (t) => {
  const port = await startModels(t, async (request) => keyOf(request) === 'not-needed')
  const output = await recipe(t, 'models-on-your-network.md', {
    replace: { 'gpu-box.lan:11434': `127.0.0.1:${port}` },
  })
  t.match(output, 'data: [DONE]')
})

t.test('clients.md', async (t) => {
  const broker = await startBroker(t)
  const { key } = await broker.connect()
  const output = await recipe(t, 'clients.md', {
    replace: { 'broker=http://127.0.0.1:8787': `broker=${broker.origin}`, 'sk-tb-your-key': key },
    commands: STAND_INS,
  })
  for (const name of ['claude', 'codex', 'qwen', 'opencode', 'python3', 'node', 'Hello'])
    t.match(output, `Hello from the sandbox! You said: “${name}”`, name)
})

const NGINX = `
cat > nginx.conf <<EOF
pid $PWD/nginx.pid;
events {}
http {
  access_log off;
  error_log $PWD/nginx.log;
  client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/f; uwsgi_temp_path $PWD/u; scgi_temp_path $PWD/s;
  include $PWD/token-broker.conf;
}
EOF
exec nginx -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/nginx.log"`

testWhere(t, { name: 'behind-nginx-or-caddy.md', missing: whatIsMissing('nginx', 'caddy') }, async (t) => {
  const dir = t.testdir()
  const { key, cert } = selfSigned(['llm.example.com'])
  writeFileSync(join(dir, 'key'), key)
  writeFileSync(join(dir, 'cert'), cert)
  const [nginx, caddy] = [await freePort(), await freePort()]
  for (const [name, site] of [
    ['nginx', `https://llm.example.com:${nginx}`],
    ['Caddy', `http://127.0.0.1:${caddy}`],
  ] as const) {
    const output = await recipe(t, 'behind-nginx-or-caddy.md', {
      replace: {
        'site=https://llm.example.com': `site=${site}`,
        'llm.example.com {': `http://127.0.0.1:${caddy} {`,
        'listen 443 ssl': `listen ${nginx} ssl`,
        '/etc/ssl/llm.example.com.pem': join(dir, 'cert'),
        '/etc/ssl/llm.example.com.key': join(dir, 'key'),
      },
      commands: {
        sudo: `shift; ${NGINX}`,
        curl: `exec /usr/bin/curl --cacert '${join(dir, 'cert')}' --resolve 'llm.example.com:${nginx}:127.0.0.1' "$@"`,
      },
      after: 'caddy stop > stop.log 2>&1; kill "$(cat nginx.pid)"',
    })
    t.match(output, 'data: [DONE]', name)
  }
})

t.test('no page is left out', { skip: whatIsMissing('nginx', 'caddy') ?? false }, async (t) => {
  const pages = readdirSync(new URL('../../docs/recipes', import.meta.url))
  t.same(
    pages.filter((page) => page !== 'README.md' && !run.has(page) && !OF_VENDORS.has(page)),
    [],
  )
})

function recipe(t: Test, page: string, more: Omit<Parameters<typeof runRecipe>[1], 'page'>): Promise<string> {
  run.add(page)
  return runRecipe(t, { page, ...more })
}
