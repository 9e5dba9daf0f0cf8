/** Sandboxes in one process of their own, each on the port that it is given, with their levers open. */
import { type SandboxOptions, startSandbox } from '../../../src/sandbox/sandbox.ts'
import { options, tell } from './parent.ts'

const sandboxes = options<(SandboxOptions & { port: number })[]>()
for (const sandbox of sandboxes) await startSandbox({ ...sandbox, control: true })
process.on('disconnect', () => process.exit())
process.on('SIGINT', () => process.exit())
tell({ type: 'ready', port: sandboxes[0]?.port ?? 0 })
