/**
 * The pieces of a body as they arrive. Small ones are copied together: as an object each, a body that comes byte by
 * byte would take two hundred times its size.
 */
const SMALL_BYTES = 4 * 1024
const BLOCK_BYTES = 64 * 1024

export class Pieces {
  #pieces: Buffer[] = []
  #block: Buffer | undefined
  #used = 0

  push(piece: Buffer): void {
    if (this.#pieces.length === 0 || piece.length >= SMALL_BYTES) {
      this.#endBlock()
      this.#pieces.push(piece) // nearly always the only one
      return
    }
    if (this.#block && this.#used + piece.length > BLOCK_BYTES) this.#endBlock()
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES)
    this.#used += piece.copy(this.#block, this.#used)
  }

  /** All of them in one, of which nothing is kept here. */
  taken(): Buffer {
    const whole = this.whole()
    this.#pieces = []
    return whole
  }

  /** All of them in one; more may follow. */
  whole(): Buffer {
    this.#endBlock()
    const [first] = this.#pieces
    if (this.#pieces.length === 1 && first) return first
    const whole = Buffer.concat(this.#pieces)
    this.#pieces = [whole]
    return whole
  }

  #endBlock(): void {
    if (this.#block) this.#pieces.push(this.#block.subarray(0, this.#used))
    this.#block = undefined
    this.#used = 0
  }
}
