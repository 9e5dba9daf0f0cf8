/**
 * A point in time as a query says it: epoch ms, or an ISO date or time.
 */
import Type from 'typebox'
import { DAY } from '../base/clock.ts'
import { BrokerError } from '../base/errors.ts'

export const INSTANT = Type.String({ minLength: 1, maxLength: 40 })

/**
 * @param offsetMs where days begin, in ms east of UTC; as `to` a date without a time counts whole
 * @throws BrokerError invalid_request
 */
export function instantOf(field: 'from' | 'to', text: string, offsetMs = 0): number {
  if (/^\d{1,16}$/.test(text)) return Number(text)
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text)
  const at = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw new BrokerError('invalid_request', {
      reason: {
        english: `${field} must be epoch ms or an ISO date`,
        chinese: `${field} 必须是毫秒时间戳或 ISO 日期`,
      },
    })
  if (!isDate) return at
  return at - offsetMs + (field === 'to' ? DAY : 0)
}
