/**
 * Seeds under which something was found once; they are tried each time, before any other.
 */
export const FINDINGS: readonly { readonly seed: number; readonly what: string }[] = [
  {
    seed: 5,
    what: 'a call behind an answer that ended its connection, sent upstream with nobody to be told',
  },
]
