/**
 * What stops the start: a provider file says something that cannot be.
 */
/** A mistake in a provider file, with the path of the field inside it. */
export class ProviderMistake extends Error {
  readonly path: readonly string[]

  constructor(path: readonly string[], message: string) {
    super(message)
    this.path = path
  }
}
