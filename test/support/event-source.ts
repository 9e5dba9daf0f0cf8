/**
 * Reads server-sent events from a fetch, one by one.
 */
export interface ServerEvent {
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events of every shape
  readonly data: any
}

export interface EventStream {
  readonly response: Response
  /** The next event, comments left out; undefined at the end. */
  next(): Promise<ServerEvent | undefined>
  close(): void
}

export async function openEvents(url: string, headers: Record<string, string> = {}): Promise<EventStream> {
  const leave = new AbortController()
  const response = await fetch(url, { headers, signal: leave.signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const next = async (): Promise<ServerEvent | undefined> => {
    for (;;) {
      const end = text.indexOf('\n\n')
      if (end !== -1) {
        const lines = text.slice(0, end).split('\n')
        text = text.slice(end + 2)
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
        const data = field('data')
        if (data !== undefined) return { event: field('event') ?? 'message', data: JSON.parse(data) }
        continue
      }
      const chunk = await reader?.read()
      if (!chunk || chunk.done) return undefined
      text += chunk.value
    }
  }
  return { response, next, close: () => leave.abort() }
}
