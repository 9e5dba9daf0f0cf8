/**
 * For what happens soon, though nobody says when; on a machine with much else to do it may take minutes.
 */
export async function waitUntil(isSo: () => boolean | Promise<boolean>, withinMs = 200_000): Promise<void> {
  const giveUpAt = Date.now() + withinMs
  while (!(await isSo())) {
    if (Date.now() > giveUpAt) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
