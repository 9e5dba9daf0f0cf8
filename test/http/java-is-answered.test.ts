import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { json, readAll, setUp } from '../gateway/fixtures/upstream.ts'

t.test(
  "Java's own HttpClient is answered",
  { skip: hasJava() ? false : 'no JDK here: install default-jdk-headless' },
  async (t) => {
    const { upstream, key, v1 } = await setUp(t)
    upstream.answer(async (request, response) => {
      await readAll(request)
      t.notOk('upgrade' in request.headers || 'http2-settings' in request.headers)
      json(response, { ok: true })
    })
    const file = new URL('./fixtures/CallsAsJava.java', import.meta.url).pathname
    const { stdout } = await promisify(execFile)('java', [file, `${v1}/chat/completions`, key, '6'])
    t.equal(stdout, '200 {"ok":true}\n'.repeat(6))
  },
)

function hasJava(): boolean {
  try {
    execFileSync('javac', ['-version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
