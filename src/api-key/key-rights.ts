/**
 * The right of a key to read tokens, signed with what it is over: whoever can only write to the database can let keys of
 * their own make calls, but have none read a secret.
 */
import type { ApiKeyRow, RotatedKeyRow } from '../storage/tables.ts'
import type { Seals } from '../vault/seals.ts'

export type RightRow = Pick<
  ApiKeyRow,
  'id' | 'key_hash' | 'model_config_ids' | 'models' | 'may_read_tokens' | 'expires_at'
>
export type SealedRightRow = RightRow & Pick<ApiKeyRow, 'right_seal'>

/** A key without the right needs none. */
export function sealRight(seals: Seals, row: RightRow): { right_seal: string | null } {
  return { right_seal: row.may_read_tokens === 1 ? seals.sign(rightFields(row)) : null }
}

/** That a key was the one of its record, until then. */
export function sealRotated(seals: Seals, row: Omit<RotatedKeyRow, 'key_seal'>): { key_seal: string } {
  return { key_seal: seals.sign(rotatedFields(row)) }
}

/** @throws BrokerError decryption_failed */
export function checkRight(seals: Seals, row: SealedRightRow): void {
  if (row.may_read_tokens === 1) seals.check(rightFields(row), row.right_seal, 'right to read tokens')
}

/** @throws BrokerError decryption_failed */
export function checkRotated(seals: Seals, row: RotatedKeyRow): void {
  seals.check(rotatedFields(row), row.key_seal, 'rotated key')
}

/** Whether what the row says of the right is what was given. */
export function isRightGiven(seals: Seals, row: SealedRightRow): boolean {
  return row.may_read_tokens !== 1 || seals.holds(rightFields(row), row.right_seal)
}

export function isRotated(seals: Seals, row: RotatedKeyRow): boolean {
  return seals.holds(rotatedFields(row), row.key_seal)
}

function rightFields(row: RightRow): unknown[] {
  return ['api_keys', row.id, row.key_hash, row.model_config_ids, row.models, row.expires_at]
}

function rotatedFields({ key_hash, key_id, ends_at }: Omit<RotatedKeyRow, 'key_seal'>): unknown[] {
  return ['rotated_keys', key_hash, key_id, ends_at]
}
