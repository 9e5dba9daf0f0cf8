/**
 * The end of a turn of the event loop: whatever had arrived when it began has been read.
 *
 * What is put off until then is written together. The kernel wakes the other side once instead of once a write,
 * which on a busy connection costs more than the writing itself.
 */

let putOff: (() => void)[] = []

export function atEndOfTurn(run: () => void): void {
  if (putOff.push(run) === 1) setImmediate(runAll)
}

function runAll(): void {
  const all = putOff
  putOff = []
  for (const run of all) run()
}
