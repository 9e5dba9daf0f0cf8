/**
 * What people set of a config, and what a change of it makes different.
 */

import type { ModelConfigRow } from '../storage/tables.ts'
import type { StoredConfig } from './model-config-reader.ts'
import type { Model } from './model-configs.ts'

export interface ConfigFields {
  readonly name: string
  readonly provider: string
  readonly base_url: string
  /** Sealed, or ''. */
  readonly api_key: string
  readonly models: readonly Model[]
  readonly aliases: Readonly<Record<string, string>>
  readonly is_active: boolean
  readonly external_id?: string | null
  readonly inputs?: ConfigInputs
}

/** What it says for its provider's inputs. */
export interface ConfigInputs {
  readonly columns: Pick<ModelConfigRow, 'inputs' | 'inputs_sealed'>
  /** Names of those that are set, or no longer. */
  readonly changed: readonly string[]
}

const SHOWN = new Set(['name', 'base_url', 'is_active', 'external_id'])

/**
 * For the audit: names and addresses as they were and are, of everything else only that it changed. Undefined: nothing
 * is different.
 */
export function changesOf(row: StoredConfig, changed: Partial<ConfigFields>): object | undefined {
  const before: Record<string, unknown> = {
    name: row.name,
    base_url: row.base_url,
    is_active: row.is_active === 1,
    external_id: row.external_id,
    models: row.models,
    aliases: row.aliases,
  }
  const { inputs, ...rest } = changed
  const after: Record<string, unknown> = {
    ...rest,
    ...(changed.models && { models: JSON.stringify(changed.models) }),
    ...(changed.aliases && { aliases: aliasesColumn(changed.aliases) }),
  }
  // A sealed key differs each time it is sealed: whoever sends one changes it.
  const differing = Object.keys(after).filter((field) => after[field] !== before[field])
  const fields = [...differing, ...(inputs?.changed.map((name) => `inputs.${name}`) ?? [])]
  const shown = (values: Record<string, unknown>) =>
    Object.fromEntries(fields.filter((field) => SHOWN.has(field)).map((field) => [field, values[field]]))
  return fields.length > 0 ? { changed: fields, from: shown(before), to: shown(after) } : undefined
}

export function aliasesColumn(aliases: Readonly<Record<string, string>>): string | null {
  return Object.keys(aliases).length === 0 ? null : JSON.stringify(aliases)
}
