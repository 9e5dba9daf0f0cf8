import { requirement } from './requirement.ts'

requirement('轮询认证状态 API', {
  轮询等待授权: async (t, open) => {
    const { broker, deviceCode, status } = await open()
    const { session_id, device_code } = (await deviceCode()).body
    const pending = { status: 200, body: { status: 'pending', retry_after: Number } }
    t.match(await status(`device_code=${device_code}`), pending)
    t.match(await status(`session_id=${session_id}`), pending)
    t.equal(broker.sandbox.counts.devicePolls, 1, 'the second came too early to be passed on')
  },

  '轮询频率过高时返回 slow_down': async (t, open) => {
    const { broker, deviceCode, status, setSession } = await open()
    const { session_id, interval } = (await deviceCode()).body
    await status(`session_id=${session_id}`)
    for (let i = 0; i < 5; i += 1) {
      const { status: code, body } = await status(`session_id=${session_id}`)
      t.equal(code, 200)
      t.equal(body.status, 'pending')
      t.ok(body.retry_after > interval * 1000, `${body.retry_after} ms`)
    }
    t.equal(broker.sandbox.counts.devicePolls, 1)

    // Told so by the server, at whatever status, the interval grows by 5 s for good (RFC 8628 §3.5).
    let before = interval * 1000
    for (const statusCode of [400, 429, 200]) {
      await setSession(session_id, { next_poll_at: 0 })
      broker.sandbox.faults.next('token', { status: statusCode, body: { error: 'slow_down' } })
      const { status: code, body } = await status(`session_id=${session_id}`)
      t.equal(code, 200)
      t.same(body, { status: 'pending', retry_after: before + 5_000 })
      before = body.retry_after
    }
    await setSession(session_id, { next_poll_at: 0 })
    broker.sandbox.faults.next('token', { status: 400, body: { error: 'authorization_pending' } })
    t.same((await status(`session_id=${session_id}`)).body, { status: 'pending', retry_after: before })
  },

  认证成功: async (t, open) => {
    const resource_url = 'portal.qwen.ai'
    const { broker, deviceCode, status } = await open({ sandbox: { resourceUrl: resource_url } })
    const { session_id, device_code, user_code } = (await deviceCode()).body
    await broker.sandbox.approve(user_code)
    const answer = await status(`device_code=${device_code}`)
    t.equal(answer.status, 200)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    const { token } = answer.body
    t.match(answer.body, { status: 'success', token: { token_type: 'Bearer', resource_url, scope: String } })
    t.match(token, { access_token: /^.{20,}$/, refresh_token: /^.{20,}$/ })
    const lifetime = token.expires_at - Date.now()
    t.ok(lifetime > 50_000 && lifetime <= 61_000, `milliseconds since the epoch: ${lifetime} ms from now`)
    t.same((await status(`session_id=${session_id}`)).body, answer.body, 'delivered until it is bound')
    t.equal(broker.sandbox.counts.devicePolls, 1)
  },

  认证超时: async (t, open) => {
    const { broker, deviceCode, status, setSession } = await open()
    const timeout = { status: 408, body: { detail: /认证超时/, code: 'authorization_timeout' } }

    const here = (await deviceCode()).body
    await setSession(here.session_id, { expires_at: Date.now() - 1 })
    t.match(await status(`session_id=${here.session_id}`), timeout)
    t.match(await status(`device_code=${here.device_code}`), timeout)
    t.equal(broker.sandbox.counts.devicePolls, 0)

    for (const answer of [
      { status: 400, body: { error: 'expired_token' } },
      { status: 401, body: { error: 'invalid_request' } }, // Qwen's word for a dead device code
    ]) {
      const there = (await deviceCode()).body
      broker.sandbox.faults.next('token', answer)
      t.match(await status(`device_code=${there.device_code}`), timeout)
      t.match(await status(`device_code=${there.device_code}`), timeout, 'and it stays so')
    }
    t.equal(broker.sandbox.counts.devicePolls, 2)
  },

  设备码无效: async (t, open) => {
    const { deviceCode, status } = await open()
    const { device_code } = (await deviceCode()).body
    const wrong = [
      'device_code=unknown',
      `device_code=${device_code}x`,
      `device_code=${device_code.slice(1)}`,
      'device_code=',
      `device_code=${'A'.repeat(5_000)}`,
      'device_code=%00%ff%27%22',
      `device_code=${device_code}&device_code=${device_code}`,
      '',
    ]
    for (const query of wrong) {
      t.match(await status(query), {
        status: 400,
        body: { detail: '设备码无效', code: 'invalid_device_code' },
      })
    }
  },
})
