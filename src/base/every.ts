/**
 * Work that is done again and again.
 */

/**
 * Does `work` for the first time in `ms`, then `ms` after each end of it: never twice at once. Does not keep the
 * process alive on its own.
 *
 * @param work logs what goes wrong itself; what it throws ends the process
 * @returns ends it. Resolves once what is under way is done
 */
export function every(ms: number, work: () => Promise<void> | void): () => Promise<void> {
  let isOver = false
  let underWay = Promise.resolve()
  const round = async () => {
    await work()
    if (!isOver) timer.refresh()
  }
  const timer = setTimeout(() => {
    underWay = round()
  }, ms).unref()
  return () => {
    isOver = true
    clearTimeout(timer)
    return underWay
  }
}
