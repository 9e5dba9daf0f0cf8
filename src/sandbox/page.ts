/**
 * The HTML of the approval page. Knows nothing of codes and grants.
 */
import { createHash } from 'node:crypto'
import type { Language, Said } from '../base/language.ts'

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d5d9e0, #3a404b); --quiet: light-dark(#5b6472, #9aa4b2);
  --card: light-dark(#fff, #1c2027); --accent: light-dark(#2456d6, #7aa2ff); }
* { box-sizing: border-box }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; padding: 1rem;
  font: 1rem/1.5 system-ui, sans-serif; background: light-dark(#f3f5f8, #12151a); color: light-dark(#181c23, #e8ebf0) }
main { width: min(26rem, 100%); padding: 1.75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .9rem }
h1 { margin: 0; font-size: 1.3rem } p { margin: .25rem 0 1rem } small, label { color: var(--quiet) }
code, input { display: block; width: 100%; margin: .5rem 0 1rem; padding: .7rem; font: 600 1.5rem ui-monospace, monospace;
  letter-spacing: .12em; text-align: center; border: 1px solid var(--line); border-radius: .6rem;
  background: transparent; color: inherit; overflow-wrap: anywhere }
.choice { display: flex; gap: .75rem }
button { flex: 1; width: 100%; padding: .75rem; font: inherit; font-weight: 600; cursor: pointer; border-radius: .6rem;
  border: 1px solid var(--line); background: transparent; color: inherit }
button.main { background: var(--accent); border-color: var(--accent); color: light-dark(#fff, #10131a) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
[role=status] { padding-bottom: .5rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
[role=status]:last-child { padding: 0; margin: 0; border: 0 }
`

/** Nothing may load, run or frame this page but the one style above, named by its hash. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

const TEXTS = {
  en: {
    tag: 'en',
    title: 'Connect a device',
    practice: 'Sandbox, for practice only',
    code: 'Code shown on the device',
    next: 'Continue',
    isIt: 'Is this the code on your device?',
    scope: 'It asks for',
    deny: 'Deny',
    approve: 'Approve',
  },
  zh: {
    tag: 'zh-CN',
    title: '连接设备',
    practice: '沙盒，仅供练习',
    code: '设备上显示的代码',
    next: '继续',
    isIt: '设备上显示的是这个代码吗？',
    scope: '请求的权限',
    deny: '拒绝',
    approve: '授权',
  },
} as const

/** @param content HTML, already escaped */
export function page(language: Language, content: string): string {
  const { tag, title, practice } = TEXTS[language]
  return `<!doctype html>
<html lang="${tag}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Sandbox</title>
<style>${STYLE}</style>
<main>
<h1>${title}</h1>
<p><small>${practice}</small></p>
${content}
</main>
</html>
`
}

export function codeForm(language: Language): string {
  const { code, next } = TEXTS[language]
  return `<form method="get" action="/device">
<label for="user_code">${code}</label>
<input id="user_code" name="user_code" placeholder="ABCD-1234" maxlength="20" autocomplete="off" autocapitalize="characters" spellcheck="false" required>
<button class="main">${next}</button>
</form>`
}

/** @param formProof shows that a post comes from this very page */
export function decisionForm(
  language: Language,
  { userCode, scope }: { readonly userCode: string; readonly scope: string },
  formProof: string,
): string {
  const texts = TEXTS[language]
  return `<form method="post" action="/device">
<p>${texts.isIt}</p>
<code>${escapeHtml(userCode)}</code>
<p><small>${texts.scope}: ${escapeHtml(scope)}</small></p>
<input type="hidden" name="user_code" value="${escapeHtml(userCode)}">
<input type="hidden" name="form_proof" value="${escapeHtml(formProof)}">
<div class="choice">
<button name="action" value="deny">${texts.deny}</button>
<button class="main" name="action" value="approve">${texts.approve}</button>
</div>
</form>`
}

export function notice(language: Language, said: Said, userCode = ''): string {
  const shown = userCode === '' ? '' : `<br><small>${escapeHtml(userCode.slice(0, 40))}</small>`
  return `<p role="status"><strong>${language === 'zh' ? said.chinese : said.english}</strong>${shown}</p>`
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
