/**
 * Ports for servers that must be told theirs.
 */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * One that nobody listens on, below those that the kernel gives to clients: between the asking and the listening
 * no outgoing connection takes it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_768)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
