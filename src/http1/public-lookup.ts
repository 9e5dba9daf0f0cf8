/**
 * A look-up of names that leads to public addresses only, judged in the very answer that the connection then uses: a name
 * that says something else a moment later leads nowhere else.
 */
import { type LookupAddress, lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { isPublicAddress } from '../base/network.ts'

/** `net.connect` reports it like a name that is not there. */
export function notPublic(): NodeJS.ErrnoException {
  return Object.assign(new Error('the address is not public'), { code: 'ADDRESS_NOT_PUBLIC' })
}

export type Resolve = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/** One address that is not public spoils all of them. @param resolve as `dns.lookup` */
export function publicLookup(resolve: Resolve = lookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? []
      if (error || !first) return callback(error ?? notPublic(), [])
      if (!addresses.every(({ address }) => isPublicAddress(address))) return callback(notPublic(), [])
      if (options.all) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}
