/**
 * Child processes: servers that run until they are stopped, clients that run to their end.
 *
 * Every one is known here, so that none survives the bench.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PeerFailed } from './lab.ts'

export interface Running {
  readonly pid: number
  stop(): Promise<void>
}

/** What a script in `scripts/` tells its parent. */
export type Message =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'event'; readonly name: string }
  | { readonly type: 'result'; readonly result: unknown }

const children = new Set<ChildProcess>()
const STOP_MS = 5_000
const READY_MS = 30_000

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export function start(
  name: string,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Running & { readonly child: ChildProcess } {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options })
  children.add(child)
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  gone.then(() => children.delete(child))
  child.once('error', (error) => process.stderr.write(`${name}: ${error.message}\n`))
  return {
    child,
    pid: child.pid ?? 0,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGINT')
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await gone
      clearTimeout(kill)
    },
  }
}

export async function stopAll(): Promise<void> {
  for (const child of children) child.kill('SIGINT')
  const kill = setTimeout(() => {
    for (const child of children) child.kill('SIGKILL')
  }, STOP_MS)
  while (children.size > 0) await new Promise((resolve) => setTimeout(resolve, 20))
  clearTimeout(kill)
}

export interface ScriptServer extends Running {
  readonly port: number
  /** Has it do something; one thing at a time. */
  ask<Result>(order: object): Promise<Result>
}

/** A server of `scripts/`, once it listens. */
export async function startScript(name: string, options: object): Promise<ScriptServer> {
  const running = startNode(name, options)
  const { port } = await told(running.child, name, 'ready')
  return {
    ...running,
    port,
    async ask<Result>(order: object) {
      running.child.send(order)
      return (await told(running.child, name, 'result')).result as Result
    },
  }
}

/** A client of `scripts/`, to its end. */
export async function runScript<Result>(
  name: string,
  options: object,
  onEvent: (name: string) => void = () => {},
): Promise<Result> {
  const { child } = startNode(name, options)
  return (await told(child, name, 'result', onEvent)).result as Result
}

function startNode(name: string, options: object) {
  const file = fileURLToPath(new URL(`./scripts/${name}.ts`, import.meta.url))
  return start(name, process.execPath, [file, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
}

function told<Type extends Message['type']>(
  child: ChildProcess,
  name: string,
  type: Type,
  onEvent: (name: string) => void = () => {},
): Promise<Extract<Message, { type: Type }>> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new PeerFailed(`${name} ended with ${code}`))
    const onMessage = (message: Message) => {
      if (message.type === 'event') return onEvent(message.name)
      if (message.type !== type) return
      child.off('exit', onExit)
      child.off('message', onMessage)
      resolve(message as Extract<Message, { type: Type }>)
    }
    child.on('exit', onExit)
    child.on('message', onMessage)
  })
}

/** Polls until something answers 2xx. @returns milliseconds it took */
export async function untilAnswers(url: string, withinMs = READY_MS): Promise<number> {
  const startedAt = performance.now()
  while (performance.now() - startedAt < withinMs) {
    const status = await fetch(url).then(
      async (response) => {
        await response.arrayBuffer()
        return response.status
      },
      () => 0,
    )
    if (status >= 200 && status < 300) return performance.now() - startedAt
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new PeerFailed(`${url} does not answer`)
}

const TICKS_PER_SECOND = 100

/** User and system time so far, in seconds; undefined where there is no /proc. */
export function cpuSeconds(pid: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  } catch {
    return undefined
  }
}
