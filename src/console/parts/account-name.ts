/** A name for a new account that no other has: asked for before a person approves anything under it. */
import type { ReactiveControllerHost } from 'lit'
import type { ModelConfigPage } from '../../admin/config-answers.ts'
import { get } from '../api.ts'

const TYPING_MS = 250
const MAX_ASKED = 100

export class AccountName {
  /** What the field begins with. */
  suggested = ''
  isTaken = false
  #typing: ReturnType<typeof setTimeout> | undefined
  readonly #host: ReactiveControllerHost

  constructor(host: ReactiveControllerHost) {
    this.#host = host
  }

  /** The wish itself, or with a number behind it. */
  async suggest(wish: string): Promise<void> {
    this.suggested = wish
    this.isTaken = false
    const taken = await namesLike(wish)
    for (let number = 2; taken.has(this.suggested); number += 1) this.suggested = `${wish}-${number}`
    this.#host.requestUpdate()
  }

  /** Soon, for it is being typed. */
  look(name: string): void {
    clearTimeout(this.#typing)
    this.#typing = setTimeout(() => void this.check(name), TYPING_MS)
  }

  /** Whether it is free, as far as is known: who asks too seldom is told when it is stored. */
  async check(name: string): Promise<boolean> {
    clearTimeout(this.#typing)
    this.isTaken = name !== '' && (await namesLike(name)).has(name)
    this.#host.requestUpdate()
    return !this.isTaken
  }
}

async function namesLike(part: string): Promise<ReadonlySet<string>> {
  const query = `?page_size=${MAX_ASKED}&sort=name&q=${encodeURIComponent(part)}`
  const found = await get<ModelConfigPage>(`/api/models/configs${query}`).catch(() => undefined)
  return new Set(found?.items.map(({ name }) => name))
}
