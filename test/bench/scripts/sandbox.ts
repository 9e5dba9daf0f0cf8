/** The sandbox in a process of its own, with its levers open. */
import { type SandboxOptions, startSandbox } from '../../../src/sandbox/sandbox.ts'
import { options, tell } from './parent.ts'

const sandbox = await startSandbox({ ...options<SandboxOptions>(), control: true })
process.on('disconnect', () => process.exit())
process.on('SIGINT', () => process.exit())
tell({ type: 'ready', port: Number(new URL(sandbox.origin).port) })
