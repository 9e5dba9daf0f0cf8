/** Logs an account in that there is already, with what it says for its provider's inputs: its tokens stay in the broker. */
import type { ModelConfigItem } from '../../admin/config-answers.ts'
import { send } from '../api.ts'
import type { LoginDesk } from '../element/login-desk.ts'

export function accountLogin({ id }: ModelConfigItem): LoginDesk {
  const path = `/api/models/configs/${encodeURIComponent(id)}/login`
  return {
    begin: (signal) => send('POST', path, undefined, signal),
    look: (sessionId, signal) => send('GET', `${path}/${encodeURIComponent(sessionId)}`, undefined, signal),
  }
}
