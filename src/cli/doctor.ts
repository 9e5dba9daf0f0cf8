/**
 * `doctor [CONFIG]`: one config by name or id, or all of them. Exit code 1 if any of them has a problem.
 */
import type { CommandLine } from './command-line.ts'
import { paint } from './output.ts'
import { findConfigs, inWorkspace, NO_CONFIGS } from './workspace.ts'

export async function doctor({ words: [wanted], options }: CommandLine): Promise<void> {
  await inWorkspace(async ({ database, configs }) => {
    const chosen = await findConfigs(database, wanted)
    if (chosen.length === 0 && !options.json) process.stdout.write(NO_CONFIGS)
    for (const { id, name } of chosen) {
      const diagnosis = await configs.diagnose(id)
      if (!diagnosis.ok) process.exitCode = 1
      if (options.json) {
        process.stdout.write(`${JSON.stringify({ id, name, ...diagnosis })}\n`)
        continue
      }
      const { ok, cause, cause_zh, advice, advice_zh, checks } = diagnosis
      process.stdout.write(`${sign(ok)} ${name}: ${cause} · ${cause_zh}\n`)
      for (const check of checks)
        process.stdout.write(`    ${sign(check.ok)} ${check.name}: ${check.detail}\n`)
      if (!ok) process.stdout.write(`  → ${advice}\n  → ${advice_zh}\n`)
    }
  })
}

function sign(isOk: boolean): string {
  return isOk ? paint('good', '✓') : paint('bad', '✗')
}
