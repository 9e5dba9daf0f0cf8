/**
 * Secrets that a server quotes back, out of what it says: found by what they are, in any form in which a server may
 * write them, and also where it quotes only a part.
 */

/** So many characters in a row are no coincidence. */
const MIN_PART = 12

/** @param text a short one, which is searched for each part of each secret */
export function withoutQuoted(text: string, secrets: readonly (string | undefined)[]): string {
  let shown = text
  for (const secret of secrets) {
    if (secret !== undefined && secret !== '')
      for (const form of formsOf(secret)) shown = withoutForm(shown, form)
  }
  return shown
}

function formsOf(secret: string): Set<string> {
  const percent = encodeURIComponent(secret)
  const hex = Buffer.from(secret).toString('hex')
  const form = new URLSearchParams([['', secret]]).toString().slice(1)
  const escaped = JSON.stringify(secret).slice(1, -1)
  const forms = [secret, percent, form, escaped, escaped.replaceAll('/', '\\/'), hex, hex.toUpperCase()]
  forms.push(
    percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    ...base64FormsOf(secret),
    ...base64FormsOf(form), // as `Basic` has it (RFC 6749 §2.3.1)
  )
  return new Set([...forms, [...secret].reverse().join('')])
}

/** Alone, or somewhere in other bytes (`Basic`): what the three alignments have in common with every text around it. */
function base64FormsOf(secret: string): string[] {
  return [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)])
    const whole = bytes.toString('base64').replace(/=+$/, '')
    const inner = whole.slice(Math.ceil((before * 8) / 6), Math.floor((bytes.length * 8) / 6))
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')]
  })
}

/** Every run of at least {@link MIN_PART} characters that stands in the form, or all of a shorter form. */
function withoutForm(text: string, form: string): string {
  const least = Math.min(MIN_PART, form.length)
  if (least === 0) return text
  let shown = ''
  for (let at = 0; at < text.length; ) {
    let length = form.includes(text.slice(at, at + least)) && at + least <= text.length ? least : 0
    if (length === 0) {
      shown += text[at]
      at += 1
      continue
    }
    while (at + length < text.length && form.includes(text.slice(at, at + length + 1))) length += 1
    shown += '…'
    at += length
  }
  return shown
}
