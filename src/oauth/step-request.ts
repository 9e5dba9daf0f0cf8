/**
 * One step of a vendor's own token request, made ready to be sent.
 */
import { fillHeader, fillText, type Value, type Values } from '../provider/placeholders.ts'
import type { Filled, JsonTemplate, TokenStep } from '../provider/token-request.ts'

export interface StepRequest {
  readonly url: string
  readonly method: TokenStep['method']
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** @throws UnfitValue */
export function requestOf(step: TokenStep, values: Values): StepRequest {
  const { basic, form, json } = step
  const headers: Record<string, string> = { accept: 'application/json' }
  for (const [name, template] of step.headers) {
    const value = fillHeader(template, values)
    if (value !== undefined) headers[name.toLowerCase()] = value
  }
  if (basic) {
    const pair = `${fillText(basic.user, values) ?? ''}:${fillText(basic.password, values) ?? ''}`
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`
  }
  // A blank to everybody; a plus is one in forms alone, and another thing to whoever signs.
  const query = new URLSearchParams(filled(step.query, values)).toString().replaceAll('+', '%20')
  const url = query === '' ? step.url : `${step.url}?${query}`
  if (form) {
    headers['content-type'] ??= 'application/x-www-form-urlencoded'
    return { url, method: step.method, headers, body: new URLSearchParams(filled(form, values)).toString() }
  }
  if (!json) return { url, method: step.method, headers, body: undefined }
  headers['content-type'] ??= 'application/json'
  return { url, method: step.method, headers, body: JSON.stringify(jsonOf(json, values)) }
}

/** Without those whose optional input is unset. */
function filled(templates: Filled, values: Values): [string, string][] {
  return templates.flatMap(([name, template]): [string, string][] => {
    const text = fillText(template, values)
    return text === undefined ? [] : [[name, text]]
  })
}

/** Undefined: it drops out of what holds it. */
function jsonOf(template: JsonTemplate, values: Values): unknown {
  if ('members' in template) {
    return Object.fromEntries(template.members.map(([name, member]) => [name, jsonOf(member, values)]))
  }
  if ('items' in template)
    return template.items.map((item) => jsonOf(item, values)).filter((item) => item !== undefined)
  return 'value' in template ? template.value : fillText(template, values)
}

/** What a template names, with members. */
export function asValue(text: string, members: Readonly<Record<string, string>> = {}): Value {
  return { text, members: new Map(Object.entries(members)) }
}
