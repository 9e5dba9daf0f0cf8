/**
 * A person at a browser, as far as plain forms go: follows redirects, keeps cookies, submits the form on a page.
 */

/**
 * Opens a page and submits form after form, filling in what has a name in `answers`, until a page has none.
 * @param cookie `name=value` that it has already
 */
export async function submitForms(
  address: string,
  answers: Record<string, string>,
  cookie = '',
): Promise<string> {
  const [name = '', value = ''] = cookie.split('=')
  const cookies = new Map(cookie === '' ? [] : [[name, value]])
  let { url, html } = await open(address, undefined, cookies)
  for (let pages = 0; pages < 10; pages += 1) {
    const form = /<form[^>]*action="([^"]+)"[^>]*>(.*?)<\/form>/s.exec(html)
    if (!form) return html
    const fields = new URLSearchParams()
    for (const [input] of (form[2] ?? '').matchAll(/<input[^>]*>/gs)) {
      const name = attribute(input, 'name')
      if (name) fields.set(name, answers[name] ?? attribute(input, 'value') ?? '')
    }
    ;({ url, html } = await open(new URL(form[1] ?? '', url).href, fields, cookies))
  }
  throw new Error(`${address} asks for more than a person would answer`)
}

async function open(address: string, form: URLSearchParams | undefined, cookies: Map<string, string>) {
  let url = address
  let body = form
  for (let redirects = 0; redirects < 10; redirects += 1) {
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(body && { body }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (name) cookies.set(name, value ?? '')
    }
    const html = await response.text()
    const location = response.headers.get('location')
    if (!location) return { url, html }
    url = new URL(location, url).href
    body = undefined
  }
  throw new Error(`${address} redirects for ever`)
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]
}
