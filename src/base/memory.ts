/**
 * How much memory this process may use, as the machine or its container says.
 */
import { totalmem } from 'node:os'

export function memoryLimit(): number {
  const constrained = process.constrainedMemory() // 0, or beyond what there is, where nothing limits it
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}
