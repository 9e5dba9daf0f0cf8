/**
 * How a script talks to the bench that started it: options as its one argument, messages back.
 */
import type { Server } from 'node:net'
import type { Message } from '../processes.ts'

export function options<Options>(): Options {
  return JSON.parse(process.argv[2] ?? '{}') as Options
}

export function tell(message: Message): void {
  process.send?.(message)
}

/** Listens on a free loopback port, tells the bench which, and ends with it. */
export function serve(server: Server): void {
  process.on('disconnect', () => process.exit())
  process.on('SIGINT', () => process.exit())
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    tell({ type: 'ready', port: typeof address === 'object' && address ? address.port : 0 })
  })
}

/** Reports and ends. */
export function finish(result: unknown): void {
  process.send?.({ type: 'result', result } satisfies Message, () => process.exit())
}
