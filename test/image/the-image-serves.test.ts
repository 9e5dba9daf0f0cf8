/**
 * The image that the Dockerfile builds, run as an engine would run it: its own user, environment and command, a root
 * that cannot be written to, and a volume at /data. `npm run test:image`; takes some minutes the first time.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { onEachDatabase } from '../support/databases.ts'
import { freePort } from '../support/free-port.ts'
import { PATH, testWhere, whatIsMissing } from '../support/test-where.ts'
import { waitUntil } from '../support/wait-until.ts'

const BUILD = fileURLToPath(new URL('build.sh', import.meta.url))
const FOLDER = process.env['IMAGE_FOLDER'] ?? join(tmpdir(), 'token-broker-image')
const NODE_USER = 1000
const MAX_ADDED_MEGABYTES = 60
const READY_WITHIN_MS = 60_000
const ADMIN_TOKEN = 'admin-token-for-the-image-0123456789abcdef'
const ENCRYPTION_KEY = 'aW1hZ2UtaW1hZ2UtaW1hZ2UtaW1hZ2UtaW1hZ2UtMTI='

interface ImageConfig {
  readonly User: string
  readonly Env: readonly string[]
  readonly WorkingDir: string
  readonly Entrypoint: readonly string[]
  readonly Cmd: readonly string[]
  readonly Healthcheck: { readonly Test: readonly string[] }
  readonly Volumes: Readonly<Record<string, object>>
}

const missing =
  process.getuid?.() === 0
    ? whatIsMissing('buildah', 'debootstrap', 'unshare', 'chroot')
    : 'building an image without an engine takes root'
testWhere(t, { name: 'the image is built and serves', missing, timeoutMs: 1_800_000 }, imageServes)

async function imageServes(t: Test): Promise<void> {
  execFileSync('bash', [BUILD, FOLDER], { stdio: ['ignore', 2, 2], env: { ...process.env, PATH } })
  const config = readConfig()

  t.test('it adds little to its base', async (t) => {
    const added = megabytes('image') - megabytes('base')
    t.ok(added <= MAX_ADDED_MEGABYTES, `${added} MB above the base`)
    t.notOk(existsSync(join(FOLDER, 'root/app/node_modules')), 'the bundle needs no node_modules beside it')
    t.equal(config.User, 'node')
    t.same(Object.keys(config.Volumes), ['/data'])
  })

  onEachDatabase(
    t,
    'it answers a completion, says that it is healthy, and stops when told to',
    async (t, { kind, url }) => {
      const upstream = await startUpstream(t)
      const volume = makeVolume(t, upstream)
      const port = await freePort()
      const env = { PORT: String(port), ...(kind === 'MySQL' && { DATABASE_URL: url }) }
      const broker = runImage(t, config, volume, env)
      const origin = `http://127.0.0.1:${port}`
      const isReady = () =>
        fetch(`${origin}/health/ready`).then(
          ({ ok }) => ok,
          () => false,
        )
      await waitUntil(async () => broker.exitCode !== null || (await isReady()), READY_WITHIN_MS)
      t.equal((await fetch(`${origin}/docs/`)).status, 200, 'the pages of the API')
      t.equal((await fetch(`${origin}/`)).status, 200, 'the console')

      const health = spawnIn(config, volume, env, config.Healthcheck.Test.slice(1))
      t.same(await once(health, 'exit'), [0, null], 'its own health check agrees')

      const admin = (path: string, body: object) =>
        fetch(`${origin}/api/${path}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }).then((answer) => answer.json() as Promise<Record<string, string>>)
      await admin('models/configs', {
        name: 'lan',
        provider: 'lan',
        api_key: 'sk-lan',
        models: [{ model_id: 'm' }],
      })
      const { key } = await admin('keys', { name: 'image' })
      const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: key })
      const answer = await client.chat.completions.create({
        model: 'm',
        messages: [{ role: 'user', content: 'hi' }],
      })
      t.equal(answer.choices[0]?.message.content, 'hello from the LAN')
      const isInVolume = existsSync(join(volume, 'token-broker.sqlite'))
      t.equal(isInVolume, kind === 'SQLite', 'what it stores is in the volume, or in MySQL')
      const command = spawnIn(config, volume, env, [...config.Entrypoint, 'doctor', 'lan'])
      t.same(await once(command, 'exit'), [0, null], 'commands run in it, too')

      broker.kill('SIGTERM')
      const [code, signal] = (await once(broker, 'exit')) as [number | null, string | null]
      t.same([code, signal], [0, null])
    },
  )
}

/** A model server on plain http, as there are on a LAN; it takes one key. */
async function startUpstream(t: Test): Promise<string> {
  const server = createServer((request, response) => {
    const isRight = request.headers.authorization === 'Bearer sk-lan'
    const message = { role: 'assistant', content: 'hello from the LAN' }
    const body = {
      id: 'c',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices: [{ index: 0, message }],
    }
    response.writeHead(isRight ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What is mounted at /data: the user's own, with a CONFIG_FILE in it. */
function makeVolume(t: Test, upstream: string): string {
  const volume = join(FOLDER, 'volume')
  const remove = () => rmSync(volume, { recursive: true, force: true })
  remove()
  t.teardown(remove)
  mkdirSync(volume, { mode: 0o700 })
  const lan = {
    label: 'LAN',
    credential: 'api_key',
    upstream: { base_url: `http://${upstream}/v1`, allow_http_hosts: [upstream] },
  }
  writeFileSync(join(volume, 'config.yaml'), JSON.stringify({ providers: { lan } })) // JSON is YAML
  for (const path of [volume, join(volume, 'config.yaml')]) chownSync(path, NODE_USER, NODE_USER)
  return volume
}

function runImage(t: Test, config: ImageConfig, volume: string, env: Record<string, string>): ChildProcess {
  const broker = spawnIn(config, volume, env, [...config.Entrypoint, ...config.Cmd])
  t.teardown(() => broker.kill('SIGKILL'))
  return broker
}

/** A read-only root, the volume, and nothing of this process's environment. */
const IN_IMAGE = `
mount --bind root root && mount -o remount,bind,ro root
mount --bind "$VOLUME" root/data
mount -t proc proc root/proc
mount --bind /dev root/dev
exec chroot --userspec=node:node root env -i -C "$FOLDER_INSIDE" "$@"`

function spawnIn(
  config: ImageConfig,
  volume: string,
  env: Record<string, string>,
  command: readonly string[],
): ChildProcess {
  const inside = {
    ...Object.fromEntries(config.Env.map((pair) => pair.split(/=(.*)/s).slice(0, 2))),
    ADMIN_TOKEN,
    TOKEN_ENCRYPTION_KEY: ENCRYPTION_KEY,
    CONFIG_FILE: '/data/config.yaml',
    ...env,
  }
  const variables = Object.entries(inside).map(([name, value]) => `${name}=${value}`)
  return spawn('unshare', ['--mount', 'bash', '-ec', IN_IMAGE, 'bash', ...variables, ...command], {
    cwd: FOLDER,
    stdio: ['ignore', 2, 2],
    env: { PATH, VOLUME: volume, FOLDER_INSIDE: config.WorkingDir },
  })
}

function readConfig(): ImageConfig {
  const image = JSON.parse(readFileSync(join(FOLDER, 'image.json'), 'utf8')) as {
    Docker: { config: ImageConfig }
  }
  return image.Docker.config
}

function megabytes(name: string): number {
  return Number(readFileSync(join(FOLDER, `${name}.megabytes`), 'utf8'))
}
