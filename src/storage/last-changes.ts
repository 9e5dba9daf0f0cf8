/**
 * Which rows changed when, counted in changes that this process has seen, as far back as it remembers: what was read
 * before then, and not been asked for since, may be anything.
 */

/** A row of which something is cached: a model config, or an API key. */
export interface Change {
  readonly kind: 'config' | 'key'
  readonly id: string
}

/** Half of it is forgotten when it is full. */
const MAX_REMEMBERED = 20_000

export class LastChanges {
  #all: { readonly change: Change; readonly seen: number }[] = []
  readonly #lastOf = new Map<string, number>()
  /** Of what changed up to then nothing is remembered. */
  #knownSince = 0

  note(changes: readonly Change[], seen: number): void {
    for (const change of changes) {
      this.#all.push({ change, seen })
      this.#lastOf.set(change.id, seen)
    }
    if (this.#all.length > MAX_REMEMBERED) this.#forget(this.#all.splice(0, this.#all.length / 2))
  }

  /** Anything may have changed. */
  noteAll(seen: number): void {
    this.#all = []
    this.#lastOf.clear()
    this.#knownSince = seen
  }

  /** Whether what was read when so many changes had been seen may be different now. */
  hasChanged(id: string, since: number): boolean {
    return since < this.#knownSince || (this.#lastOf.get(id) ?? 0) > since
  }

  /** Ids of this kind, each once; undefined: any. */
  changedSince(since: number, kind: Change['kind']): string[] | undefined {
    if (since < this.#knownSince) return undefined
    const ids = new Set<string>()
    for (let place = this.#all.length - 1; place >= 0; place -= 1) {
      const one = this.#all[place]
      if (!one || one.seen <= since) break
      if (one.change.kind === kind) ids.add(one.change.id)
    }
    return [...ids]
  }

  #forget(oldest: readonly { readonly change: Change; readonly seen: number }[]): void {
    for (const { change, seen } of oldest) {
      if (this.#lastOf.get(change.id) === seen) this.#lastOf.delete(change.id)
    }
    this.#knownSince = oldest.at(-1)?.seen ?? this.#knownSince
  }
}
