/**
 * Old rows go some at a time, so that no statement keeps others waiting for long, or makes a cluster replicate a hundred
 * thousand rows at once. They are looked for without a lock and deleted by their keys, as writers lock them: nobody waits
 * for anybody in a circle, and two replicas that clear up at once do no harm.
 */

export const BATCH = 1_000

/**
 * Until there are no more.
 * @param some deletes as many as it is told, at most, and says how many it found
 */
export async function inBatches(
  some: (limit: number) => Promise<number>,
  isStopped: () => boolean = () => false,
): Promise<void> {
  let found = BATCH
  while (found === BATCH && !isStopped()) found = await some(BATCH)
}
