/**
 * Counts that are still to be stored. A row is found by four look-ups, because making one text of all that names it, only
 * to look that up, would cost a call three times as much.
 */
import type { UsageHourlyRow } from '../storage/tables.ts'

type ByModel = Map<string, UsageHourlyRow>
type ByConfig = Map<string, ByModel>
type ByKey = Map<string, ByConfig>

export class UsageRows {
  readonly all: UsageHourlyRow[] = []
  readonly #byHour = new Map<number, ByKey>()

  has(hour: number, keyId: string, configId: string, model: string): boolean {
    return this.#find(hour, keyId, configId, model) !== undefined
  }

  /** A row of zeros where there was none. */
  of(hour: number, keyId: string, configId: string, model: string): UsageHourlyRow {
    return this.#find(hour, keyId, configId, model) ?? this.#make(hour, keyId, configId, model)
  }

  #find(hour: number, keyId: string, configId: string, model: string): UsageHourlyRow | undefined {
    return this.#byHour.get(hour)?.get(keyId)?.get(configId)?.get(model)
  }

  #make(hour: number, keyId: string, configId: string, model: string): UsageHourlyRow {
    const row: UsageHourlyRow = {
      hour,
      key_id: keyId,
      config_id: configId,
      model,
      requests: 0,
      errors: 0,
      prompt_tokens: 0,
      completion_tokens: 0,
    }
    this.all.push(row)
    const ofKey = within(within(this.#byHour, hour), keyId)
    within(ofKey, configId).set(model, row)
    return row
  }
}

function within<Key, Value>(maps: Map<Key, Map<string, Value>>, key: Key): Map<string, Value> {
  let map = maps.get(key)
  if (!map) {
    map = new Map()
    maps.set(key, map)
  }
  return map
}
