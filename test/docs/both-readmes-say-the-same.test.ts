/** README.zh-CN.md: the same commands, the same settings, the same defaults where they are values. */
import { readFileSync } from 'node:fs'
import t from 'tap'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const [english, chinese] = [read('README.md'), read('README.zh-CN.md')]

/** Without comments, which are for reading. */
function commands(text: string): string[] {
  const blocks = [...text.matchAll(/^```(?:sh|js)\n(.*?)^```$/gms)].map(([, block = '']) => block)
  return blocks.map((block) => block.replaceAll(/ +# .*$/gm, ''))
}

/** The settings with their defaults in backquotes. */
function settings(text: string): string[][] {
  const rows = [...text.matchAll(/^\| (`[A-Z_]+`[^|]*)\|([^|]*)\|/gm)]
  return rows.map(([, names = '', value = '']) => [names.trim(), value.match(/`[^`]*`/g)?.join() ?? ''])
}

t.test('commands', async (t) => {
  const untested = commands(english).filter((block) => block.includes('npm run check'))
  t.same(
    commands(chinese),
    commands(english).filter((block) => !untested.includes(block)),
  )
})

/** What the rows of the table of clients hold in backquotes. */
function clients(text: string): string[] {
  return [...text.matchAll(/^\|.*\|(.*<br>.*)\|$/gm)].map(([, lines = '']) => lines.trim())
}

t.test('clients', async (t) => {
  t.ok(clients(english).length > 4)
  t.same(clients(chinese), clients(english))
})

t.test('settings', async (t) => {
  t.ok(settings(english).length > 12)
  t.same(settings(chinese), settings(english))
})
