/**
 * Whom connections trust beside the system's authorities, and what they show of themselves: files that others replace
 * while we run, so they are looked at before each connection, and read again when they have changed.
 */
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'

/** Paths of files in PEM. */
interface Files {
  readonly ca: string | undefined
  readonly certificate: string | undefined
  readonly key: string | undefined
}

export class TlsIdentity {
  readonly #files: Files
  #marks = ''
  #context: SecureContext | undefined

  constructor(files: Files) {
    this.#files = files
  }

  /** @throws Error for files that cannot be read, or hold something else */
  context(): SecureContext {
    const { ca, certificate, key } = this.#files
    const marks = [ca, certificate, key].map(markOf).join()
    if (this.#context && marks === this.#marks) return this.#context
    this.#context = createSecureContext({
      ...(ca !== undefined && { ca: [...getCACertificates('default'), readFileSync(ca, 'utf8')] }),
      ...(certificate !== undefined && { cert: readFileSync(certificate, 'utf8') }),
      ...(key !== undefined && { key: readFileSync(key, 'utf8') }),
    })
    this.#marks = marks
    return this.#context
  }
}

/** Differs once another file stands in its place, or it was written to. */
function markOf(file: string | undefined): string {
  if (file === undefined) return ''
  const { ino, size, mtimeMs } = statSync(file)
  return `${ino} ${size} ${mtimeMs}`
}
