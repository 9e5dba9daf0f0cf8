/** Options of an LRUCache for so many entries that lays out no room for what may never come. */
export function upTo(entries: number) {
  return { maxSize: entries, sizeCalculation: () => 1 } as const
}
