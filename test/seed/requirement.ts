/**
 * A requirement of the seed as a test, and its scenarios as tests inside it, each on both databases.
 *
 * The names are the seed's own titles: `conformance.ts` makes docs/conformance.md of them.
 */
import t, { type Test } from 'tap'
import { onEachDatabase, type TestDatabase } from '../support/databases.ts'
import { openStage, type Stage, type StageOptions } from './stage.ts'

export type Open = (options?: StageOptions) => Promise<Stage>

/** `open` starts a broker on the scenario's database, with the provider `qwen` pointed at a sandbox. */
export type Scenario = (t: Test, open: Open, database: TestDatabase) => Promise<void>

export function requirement(title: string, scenarios: Record<string, Scenario>): void {
  t.test(`Requirement: ${title}`, async (t) => {
    for (const [name, scenario] of Object.entries(scenarios)) {
      onEachDatabase(t, `Scenario: ${name}`, (t, database) =>
        scenario(t, (options) => openStage(t, database, options), database),
      )
    }
  })
}
