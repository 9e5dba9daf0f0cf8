/** `keys rotate`: another key for the same record, while the one before still works for as long as is said. */
import t from 'tap'
import { sitDown } from '../support/desk.ts'

t.test('the id stays, the key is another, and what is no number of seconds is refused', async (t) => {
  const { run } = sitDown(t)
  const made = JSON.parse((await run(['keys', 'create', 'app', '--may-read-tokens', '--json'])).out)
  const rotated = await run(['keys', 'rotate', made.id, '--json'])
  t.equal(rotated.code, 0)
  const { id, key } = JSON.parse(rotated.out)
  t.equal(id, made.id)
  t.match(key, /^sk-tb-[\w-]{43}$/)
  t.not(key, made.key)
  t.match(await run(['keys', 'rotate', made.id, '--overlap-seconds', '0']), {
    code: 0,
    out: /^sk-tb-[\w-]{43}\n$/,
  })
  for (const seconds of ['604801', '-1', '1.5', 'day', ''])
    t.match(
      await run(['keys', 'rotate', made.id, `--overlap-seconds=${seconds}`]),
      {
        code: 2,
        out: '',
        err: /^token-broker: --overlap-seconds must be a whole number from 0 to 604800\n$/,
      },
      seconds,
    )
  t.match(await run(['keys', 'rotate', 'nobody']), { code: 1, err: /no such API key/ })
  t.match(await run(['keys', 'rotate']), { code: 2, err: /keys rotate needs an id/ })
})
