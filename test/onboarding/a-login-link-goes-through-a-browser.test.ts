/** A login link of an account whose logins go through a browser. */
import t from 'tap'
import { linkOf, startReceiver } from '../event/fixtures/receiver.ts'
import { call } from '../support/broker.ts'
import { onEachDatabase } from '../support/databases.ts'
import { approve, comeBack, openCodeStage, PUBLIC_URL } from './fixtures/code-login.ts'

onEachDatabase(
  t,
  'its page sends the browser to the server, and the account is connected again',
  async (t, database) => {
    const receiver = await startReceiver(t)
    const stage = await openCodeStage(t, database, {}, { env: receiver.env })
    const { server, broker, account, begin, credential } = stage
    const id = await account()
    const first = await begin(id)
    await comeBack(broker, await approve(first), first.cookie)
    server.fault = { status: 400, body: { error: 'invalid_grant' } }
    t.equal((await broker.admin('POST', `/api/models/configs/${id}/refresh`)).status, 401)
    t.match(await credential(id), { state: 'reauth_required', next_action: 'login' })

    const link = (await linkOf(receiver.deliveries)).replace(PUBLIC_URL, broker.origin)
    t.match(await call(link, 'GET'), { status: 200, body: /<form method="post">/ })
    server.fault = undefined
    const pressed = await call(link, 'POST')
    t.match(pressed, { status: 200, body: /Open the provider&#39;s page|Open the provider's page/ })
    const [, href = ''] = /href="([^"]+)"/.exec(pressed.body) ?? []
    const authorization_url = href.replaceAll('&#38;', '&')
    const cookie = pressed.headers.get('set-cookie')?.split(';')[0] ?? ''
    const place = await approve({ body: { authorization_url } })
    t.match(await comeBack(broker, place), { status: 403 }, 'another browser ends nothing')
    t.match(await comeBack(broker, place, cookie), { status: 200, body: /<title>Connected/ })
    t.match(await credential(id), { state: 'active' })
    t.match(await call(link, 'GET'), { status: 404 })
    t.same(server.complaints, [])
  },
)

onEachDatabase(t, 'where no browser comes back to the broker, there is no link', async (t, database) => {
  const receiver = await startReceiver(t)
  const redirect = { callback: false, loopback: { port: 1455 } }
  const stage = await openCodeStage(t, database, { redirect }, { env: receiver.env })
  const id = await stage.account()
  const oauth_token = { access_token: 'at-by-hand-0123456789', refresh_token: 'rt-by-hand-0123456789' }
  await stage.broker.admin('PUT', `/api/models/configs/${id}`, { oauth_token })
  await stage.broker.admin('POST', `/api/models/configs/${id}/refresh`)
  t.equal(await linkOf(receiver.deliveries), null)
})
