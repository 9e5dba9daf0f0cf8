/**
 * A Galera cluster of our own: three MariaDB nodes on loopback, each with its data and its temporary folder.
 *
 * All begin with copies of one data folder that claim the same position in one history, so no node has to be sent the
 * data of another: that takes seconds for each, and rsync.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { freePort } from './free-port.ts'
import { asRoot, end, initialize } from './mysql-server.ts'
import { findCommand, PATH, whatIsMissing } from './test-where.ts'
import { waitUntil } from './wait-until.ts'

/** Debian's galera-4; that of the others. */
const LIBRARIES = ['/usr/lib/galera/libgalera_smm.so', '/usr/lib64/galera-4/libgalera_smm.so']
const NODES = 3
const START_TIMEOUT_MS = 300_000
const POLL_MS = 100

const SCRIPTS = fileURLToPath(new URL('./fixtures', import.meta.url))
const ENV = { ...process.env, PATH: `${SCRIPTS}:${PATH}` }

/** Undefined if clusters can be started here. */
export const missingForGalera =
  whatIsMissing('mariadbd') ?? (LIBRARIES.some(existsSync) ? undefined : 'galera-4 is not installed')

export interface Galera {
  readonly nodes: readonly GaleraNode[]
  /** Resolves when all nodes see each other, and each has what the others have written. */
  inStep(): Promise<void>
  /** For good; removes their data. */
  stop(): Promise<void>
}

/** Undefined if the machine has no `mariadbd`, or no library for it. */
export async function startGalera(): Promise<Galera | undefined> {
  const binary = findCommand('mariadbd')
  const library = LIBRARIES.find(existsSync)
  if (!binary || !library) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'token-broker-galera-'))
  initialize(binary, dir)
  const ports: NodePorts[] = []
  for (let i = 0; i < NODES; i += 1)
    ports.push({ sql: await freePort(), group: await freePort(), catchingUp: await freePort() })
  const group = `gcomm://${ports.map(({ group }) => `127.0.0.1:${group}`).join(',')}`
  const nodes = ports.map(
    (own, index) => new GaleraNode(binary, library, { dir: join(dir, `${index}`), ports: own, group }),
  )
  const [first, ...others] = nodes as [GaleraNode, ...GaleraNode[]]
  renameSync(join(dir, 'data'), first.data)
  await first.start(['--wsrep-new-cluster'])
  await first.terminate()
  for (const node of others)
    cpSync(first.data, node.data, { recursive: true, filter: (file) => !file.endsWith('galera.cache') })
  await first.start(['--wsrep-new-cluster'])
  await Promise.all(others.map((node) => node.start()))
  return {
    nodes,
    async inStep() {
      const seen = () => Promise.all(nodes.map((node) => node.view().catch(() => '')))
      await waitUntil(async () => {
        const [first, ...others] = await seen()
        return first?.endsWith(`${NODES}`) === true && others.every((view) => view === first)
      }, START_TIMEOUT_MS)
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.kill()))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

interface NodePorts {
  readonly sql: number
  readonly group: number
  readonly catchingUp: number
}

interface Place {
  readonly dir: string
  readonly ports: NodePorts
  /** Where all of them are. */
  readonly group: string
}

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export class GaleraNode {
  /** Without a database name at its end. */
  readonly url: string
  readonly data: string
  readonly #binary: string
  readonly #flags: readonly string[]
  readonly #log: string
  #child: ChildProcess | undefined

  constructor(binary: string, library: string, { dir, ports, group }: Place) {
    this.url = `mysql://root@127.0.0.1:${ports.sql}/`
    this.data = join(dir, 'data')
    this.#binary = binary
    this.#log = join(dir, 'log')
    mkdirSync(dir)
    const provider = {
      'gmcast.listen_addr': `tcp://127.0.0.1:${ports.group}`,
      'ist.recv_addr': `127.0.0.1:${ports.catchingUp}`,
      'gcache.size': '32M',
    }
    this.#flags = [
      '--no-defaults',
      `--datadir=${dir}/data`,
      `--socket=${dir}/socket`,
      `--pid-file=${dir}/pid`,
      `--tmpdir=${dir}`, // a server that starts removes the temporary tables it finds: those of others, too
      '--bind-address=127.0.0.1',
      `--port=${ports.sql}`,
      '--max-connections=500',
      '--innodb-flush-log-at-trx-commit=2',
      '--innodb-buffer-pool-size=64M',
      '--binlog-format=ROW',
      '--innodb-autoinc-lock-mode=2',
      '--wsrep-on=ON',
      `--wsrep-provider=${library}`,
      '--wsrep-cluster-name=token-broker',
      '--wsrep-sst-method=missed',
      `--wsrep-cluster-address=${group}`,
      `--wsrep-node-address=127.0.0.1:${ports.group}`,
      `--wsrep-provider-options=${Object.entries(provider)
        .map(([name, value]) => `${name}=${value}`)
        .join(';')}`,
      ...asRoot(),
    ]
  }

  /** Also after a kill: it then catches up with what the others have written. Resolves when it is in step with them. */
  async start(flags: readonly string[] = []): Promise<void> {
    const position =
      this.#child?.signalCode === 'SIGKILL' ? [`--wsrep-start-position=${await this.#position()}`] : []
    const log = openSync(this.#log, 'a')
    const child = spawn(this.#binary, [...this.#flags, ...position, ...flags], {
      stdio: ['ignore', log, log],
      env: ENV,
    })
    this.#child = child
    children.add(child)
    child.once('exit', () => children.delete(child))
    await this.inStep()
  }

  /** Where its data were when it was killed, by its own recovery. */
  async #position(): Promise<string> {
    const { stderr } = await promisify(execFile)(this.#binary, [...this.#flags, '--wsrep-recover'])
    return /Recovered position:? ([\w-]+:-?\d+)/.exec(stderr)?.[1] ?? ''
  }

  /** Resolves when it takes statements and has all that the others have written. */
  async inStep(): Promise<void> {
    const giveUpAt = Date.now() + START_TIMEOUT_MS
    while ((await this.#status('wsrep_local_state_comment').catch(() => '')) !== 'Synced') {
      if (Date.now() > giveUpAt || !children.has(this.#child as ChildProcess))
        throw new Error(`a node is not in step: ${readFileSync(this.#log, 'utf8').slice(-2000)}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  async #status(name: string): Promise<string> {
    const [row] = await this.query(`show status like '${name}'`)
    return row?.['Value'] ?? ''
  }

  /** The same on nodes that are in step: its state, which change of the cluster it saw last, and how many they are. */
  async view(): Promise<string> {
    const names = ['wsrep_local_state_comment', 'wsrep_cluster_conf_id', 'wsrep_cluster_size']
    return (await Promise.all(names.map((name) => this.#status(name)))).join(' ')
  }

  async query(statement: string): Promise<RowDataPacket[]> {
    const connection = await createConnection(this.url)
    try {
      const [rows] = await connection.query<RowDataPacket[]>(statement)
      return rows
    } finally {
      await connection.end()
    }
  }

  async terminate(): Promise<void> {
    const child = this.#child
    if (!child) return
    const gone = once(child, 'exit')
    child.kill()
    await gone
  }

  /** At once and without a farewell. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#child) await end(this.#child)
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name)
  }

  /** From the other nodes, not from its clients: they notice after some seconds, and it then refuses them with 1047. */
  async cutOff(): Promise<void> {
    await this.query(`set global wsrep_provider_options = 'gmcast.isolate=1'`)
  }

  /** Resolves when it is in step with the others again. */
  async bringBack(): Promise<void> {
    await this.query(`set global wsrep_provider_options = 'gmcast.isolate=0'`)
    await this.inStep()
  }
}
