/**
 * With what this process was refused, so that it is tried at once where a file has been replaced since.
 */
import { BoundedMap } from '../base/bounded-map.ts'
import type { Provider } from '../provider/provider.ts'
import type { Credential } from './credential.ts'

const MAX_NOTED = 10_000

export class RefusedSources {
  /** Tells what lies in a provider's files now; undefined: it has none. */
  readonly #read: (provider: Provider) => Promise<string | undefined>
  readonly #noted = new BoundedMap<string>(MAX_NOTED)

  constructor(read: (provider: Provider) => Promise<string | undefined>) {
    this.#read = read
  }

  read(provider: Provider): Promise<string | undefined> {
    return this.#read(provider)
  }

  /** @param sources as they were when the request was made */
  note(configId: string, sources: string | undefined): void {
    if (sources !== undefined) this.#noted.set(configId, sources)
  }

  /** True also where another process was refused, for its files are its own. */
  async areOthers({ state, configId, provider }: Credential): Promise<boolean> {
    if (state !== 'refused') return false
    const sources = await this.#read(provider)
    return sources !== undefined && sources !== this.#noted.get(configId)
  }
}
