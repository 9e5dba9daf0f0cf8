/** What is wrong with the words of a call, in one language: the terminal's. */
import t, { type Test } from 'tap'
import { USAGE } from '../../src/cli/usage.ts'
import { sitDown } from '../support/desk.ts'

const HAN = /\p{Script=Han}/u

const MISTAKES: readonly (readonly string[])[] = [
  ['nonsense'],
  ['--nonsense'],
  ['keys', 'nonsense'],
  ['keys', 'create'],
  ['keys', 'rotate'],
  ['keys', 'revoke'],
  ['configs', 'nonsense'],
  ['configs', 'create'],
  ['configs', 'create', 'x'],
  ['import'],
  ['encryption-key', 'nonsense'],
  ['encryption-key', 'seal'],
  ['completion', 'tcsh'],
  ['token', 'nonsense'],
]

const said = (t: Test, words: readonly string[], LANG: string) => sitDown(t).run(words, '', { LANG })

for (const words of MISTAKES)
  t.test(words.join(' '), async (t) => {
    const [english, chinese] = [await said(t, words, 'en_US.UTF-8'), await said(t, words, 'zh_CN.UTF-8')]
    for (const { code } of [english, chinese]) t.equal(code, 2)
    t.notMatch(english.err, HAN)
    t.match(english.err, USAGE.en)
    t.match(chinese.err.split('\n')[0], HAN)
    t.match(chinese.err, USAGE.zh)
  })

t.test('--help', async (t) => {
  t.equal((await said(t, ['--help'], 'C')).out, USAGE.en)
  t.equal((await said(t, ['--help'], 'zh_TW.UTF-8')).out, USAGE.zh)
})

t.test('both say the same commands and options', async (t) => {
  const words = (text: string) => text.match(/^ {2}[a-z-]+|--[a-z-]+/gm)
  t.same(words(USAGE.zh), words(USAGE.en))
})
