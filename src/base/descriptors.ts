/**
 * How many descriptors (sockets, files) this process may have open.
 */
import { readFileSync } from 'node:fs'

/** Undefined where the system does not say. Node has raised it as far as it may already. */
export function descriptorLimit(): number | undefined {
  try {
    const found = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return found ? Number(found[1]) : undefined
  } catch {
    return undefined
  }
}
