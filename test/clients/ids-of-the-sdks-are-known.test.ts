/**
 * What the SDKs' own declarations name by an id is looked for, or is written down here with the reason why not.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyRequest } from 'fastify'
import t from 'tap'
import type { ClientCall } from '../../src/gateway/client-call.ts'
import { namedIn } from '../../src/gateway/named-ids.ts'
import { NO_BODY } from '../../src/gateway/request-body.ts'

const PACKAGES = new URL('../../node_modules/', import.meta.url).pathname

function named(target: string, body?: object) {
  const request = { raw: { headers: { 'content-type': 'application/json' } } } as unknown as FastifyRequest
  const readable = body && Buffer.from(JSON.stringify(body))
  return namedIn({ request, target, body: { ...NO_BODY, readable } } as ClientCall).ids
}

/** As templates or as they are, behind a method. */
const PATHS = /path\)? ?`([^`]*)`|\b(?:get|post|put|patch|delete|getAPIList)\('(\/[^']*)'/g

/** Of the resources of an SDK. */
function sources(sdk: string, ending: string): { path: string; text: string }[] {
  const root = join(PACKAGES, sdk, 'resources')
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' })
  const wanted = paths.filter((path) => path.endsWith(ending) && !NOT_MODELS.test(path))
  return wanted.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

/** Of accounts, which are managed at the vendor's with keys of another kind. */
const NOT_MODELS =
  /(?:^|\/)(?:admin|organization|compliance|webhooks|safety|user-profiles|content-provenance-checks)[./]/

for (const sdk of ['openai', '@anthropic-ai/sdk']) {
  t.test(`${sdk}: an id in any path is found, and no word is taken for one`, async (t) => {
    const paths = new Set<string>()
    for (const { text } of sources(sdk, '.js'))
      for (const [, template, plain = template ?? ''] of text.matchAll(PATHS)) paths.add(plain)
    t.ok(paths.size > 40, `${paths.size} paths`)
    for (const path of paths) {
      const ids: string[] = []
      const target = path.replace(/^\/v1/, '').replaceAll(/\$\{\w+\}/g, () => {
        ids.push(`id_${ids.length}`)
        return ids.at(-1) ?? ''
      })
      // The first word is the resource, and a model is no id.
      const expected = target.startsWith('/models/') ? ['id_0'] : ids
      t.same(named(`/v1${target}`), expected, path)
    }
  })
}

const REASONS: Readonly<Record<string, string>> = {
  'part of an answer, and named where that is named, or told only in what is said':
    'approval_request_id call_id caller_id delegation_id item_id message_id previous_item_id request_id response_id ' +
    'run_id segment_id stream_id trigger_id turn_id tool_call_id tool_id tool_use_id custom_tool_use_id ' +
    'mcp_tool_use_id event_id event_ids client_event_id source_event_id conversation_id datasource_item_id ' +
    'recipient_agent_id recipient_agent_ids sender_agent_id parent_agent_id subagent_id field_id field_ids ' +
    'download_id tab_id document_ids session_thread_id from_session_thread_id to_session_thread_id parent_thread_id ' +
    'model_request_start_id outcome_id outcome_evaluation_start_id phase_started_id workflow_run_id ' +
    'workflow_run_phase_id memory_id memory_version_id conflicting_memory_id latest_version_id remixed_from_video_id',
  'a part of the path': 'automation_id fine_tuning_job_id upload_id vault_id',
  'the client made it up': 'custom_id user_id',
  'a place in a list': 'first_id last_id scope_id',
  'of an account':
    'api_key_id client_id group_id organization_id project_id project_ids service_account_id workspace_id',
  'of a connection to something else, made at the vendor’s': 'connector_id',
  'what an answer gives': 'error_file_id output_file_id',
  // Conversations that Messages holds are announced, and their ids are those of messages, of which there are too many.
  'not yet': 'previous_message_id',
}

const reasons = new Set(Object.values(REASONS).flatMap((names) => names.split(' ')))
const unused = new Set(reasons)

for (const sdk of ['openai', '@anthropic-ai/sdk']) {
  t.test(`${sdk}: each field for an id is looked for, or has a reason`, async (t) => {
    const fields = new Map<string, string>()
    for (const { path, text } of sources(sdk, '.d.ts'))
      for (const [, field = ''] of text.matchAll(/^\s+(\w+_ids?)\??:/gm)) fields.set(field, path)
    t.ok(fields.size > 30, `${fields.size} fields`)
    for (const [field, path] of fields) {
      const value = field.endsWith('s') ? ['id_1'] : 'id_1'
      const isFound = ['/v1/x', '/v1/agents'].some((target) => named(target, { [field]: value }).length === 1)
      t.not(isFound, reasons.has(field), `${field} (${path})`)
      unused.delete(field)
    }
  })
}

t.test('no reason is given for what is not there', async (t) => t.same([...unused], []))
