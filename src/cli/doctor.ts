/**
 * `doctor [CONFIG]`: one config by name or id, or all of them. Exit code 1 if any of them has a problem.
 */
import type { Check } from '../admin/config-answers.ts'
import { toldIn } from '../admin/told-diagnosis.ts'
import { type Language, terminalLanguage } from '../base/language.ts'
import { COMMAND_LINE } from '../storage/audit-log.ts'
import type { CommandLine } from './command-line.ts'
import { jsonLine, paint, shown } from './output.ts'
import { findConfigs, inWorkspace, NO_CONFIGS } from './workspace.ts'

const CHECKS: Readonly<Record<Check['name'], Record<Language, string>>> = {
  login: { en: 'login', zh: '登录' },
  expiry: { en: 'expiry', zh: '有效期' },
  refresh: { en: 'refresh', zh: '刷新' },
  source: { en: 'made with', zh: '所用身份' },
  clock: { en: 'clock', zh: '时钟' },
  host: { en: 'host', zh: '地址' },
  completion: { en: 'completion', zh: '单令牌调用' },
  sisters: { en: 'sisters', zh: '密钥归属' },
}

export async function doctor({ words: [wanted], options }: CommandLine): Promise<void> {
  const language = terminalLanguage(process.env)
  await inWorkspace(async ({ configReader, adminConfigs }) => {
    const chosen = await findConfigs(configReader, wanted)
    if (chosen.length === 0 && !options.json) process.stdout.write(NO_CONFIGS)
    for (const { id, name } of chosen) {
      const diagnosis = toldIn(language, await adminConfigs.diagnose(id, COMMAND_LINE))
      if (!diagnosis.ok) process.exitCode = 1
      if (options.json) {
        process.stdout.write(jsonLine({ id, name, ...diagnosis }))
        continue
      }
      const { ok, cause, advice, help_url, checks } = diagnosis
      process.stdout.write(`${sign(ok)} ${shown(name)}: ${cause}\n`)
      for (const check of checks)
        process.stdout.write(
          `    ${sign(check.ok)} ${CHECKS[check.name][language]}: ${shown(check.detail)}\n`,
        )
      if (!ok) process.stdout.write(`  → ${advice}\n`)
      if (help_url) process.stdout.write(`  → ${help_url}\n`)
    }
  })
}

function sign(isOk: boolean): string {
  return isOk ? paint('good', '✓') : paint('bad', '✗')
}
