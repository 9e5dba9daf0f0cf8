/**
 * Keeps grants and device codes over a restart, in one JSON file. It holds hashes, no tokens.
 */
import { readFileSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import Type from 'typebox'
import { Check } from 'typebox/value'
import { DEVICE_CODE, type DeviceCodes } from './device-codes.ts'
import { ACCESS, FAMILY, type Families } from './families.ts'

const STATE = Type.Object({
  deviceCodes: Type.Array(DEVICE_CODE),
  families: Type.Array(FAMILY),
  accessTokens: Type.Array(ACCESS),
})

export class StateFile {
  readonly #path: string | undefined
  readonly #deviceCodes: DeviceCodes
  readonly #families: Families
  #running: Promise<void> = Promise.resolve()
  #queued: Promise<void> | undefined

  /** @param path undefined: nothing is kept. */
  constructor(path: string | undefined, deviceCodes: DeviceCodes, families: Families) {
    this.#path = path
    this.#deviceCodes = deviceCodes
    this.#families = families
  }

  /** @throws Error when the file is there and not ours to read */
  load(): void {
    if (this.#path === undefined) return
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      throw error
    }
    const state = parse(text)
    if (!Check(STATE, state)) {
      throw new Error(`${this.#path} is not a sandbox state file; delete it to start over`)
    }
    this.#deviceCodes.restore(state.deviceCodes)
    this.#families.restore(state)
  }

  /**
   * Resolves once the present state is on file. To be awaited before an answer with new tokens goes out:
   * after a crash the client may hold no token we have forgotten.
   * Callers that come while a write runs share the next one, so the price does not grow with the load.
   */
  save(): Promise<void> {
    if (this.#path === undefined) return this.#running
    const path = this.#path
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = undefined
        this.#running = this.#write(path)
        return this.#running
      })
    return this.#queued
  }

  /** Resolves when no write runs or waits; a failed one has told its own caller. */
  async idle(): Promise<void> {
    await (this.#queued ?? this.#running).catch(() => undefined)
  }

  async #write(path: string): Promise<void> {
    const text = JSON.stringify({ deviceCodes: this.#deviceCodes.entries(), ...this.#families.entries() })
    const draft = `${path}.new`
    // The mode counts only for a file that is created, so one left by a crash goes first.
    await rm(draft, { force: true })
    await writeFile(draft, text, { mode: 0o600, flag: 'wx' })
    await rename(draft, path)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
