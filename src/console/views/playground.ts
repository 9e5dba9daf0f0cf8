/** A conversation with a model through the broker. */
import { html, nothing, type TemplateResult } from 'lit'
import type { ModelConfigPage } from '../../admin/config-answers.ts'
import { get } from '../api.ts'
import { answerTool, type ChatFacts, type Message, streamChat } from '../parts/chat.ts'
import { choice, field, option } from '../parts/field.ts'
import { icon } from '../parts/icons.ts'
import { Loader } from '../parts/loader.ts'
import { ownKeys, temporaryKey } from '../parts/own-keys.ts'
import { count } from '../parts/time.ts'
import { View } from '../parts/view.ts'
import { addressOf } from '../root.ts'
import { t } from '../texts.ts'

/** Where there is room, the options stand open beside the conversation. */
const WIDE = matchMedia('(min-width: 62rem)')
const HINT = 'Say something. The answer is streamed through the broker, as your apps will get it.'
const MAX_TOOL_ROUNDS = 3
const TEMPORARY = 'temporary'
const TYPED = 'typed'

class Playground extends View {
  #messages: Message[] = []
  #keyChoice = TEMPORARY
  #typedKey = ''
  #model: string | undefined
  #system = ''
  #withTool = false
  #leave: AbortController | undefined
  #asked: Promise<string[]> | undefined
  readonly #models = new Loader(this, () => this.#loadModels())

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    this.#leave?.abort()
  }

  protected override refresh(): void {
    void this.#models.load()
  }

  protected override render(): TemplateResult {
    return html`<div class="heading"><h1 tabindex="-1">${t('Playground')}</h1>
        <button @click=${this.#clear} ?disabled=${this.#messages.length === 0}>${t('New chat')}</button></div>
      ${this.#models.render((models) => (models.length === 0 ? this.#renderNone() : this.#renderChat(models)), 6)}`
  }

  #renderNone(): TemplateResult {
    return html`<section class="card empty">${icon('chat')}<h2>${t('No model to talk to yet')}</h2>
      <p>${t('Connect an account first; its models appear here.')}</p>
      <a class="button primary" href="#/connect">${t('Connect account')}</a></section>`
  }

  #renderChat(models: readonly string[]): TemplateResult {
    this.#model ??= models[0] ?? ''
    return html`<div class="chat">
      <details class="card options" ?open=${WIDE.matches}><summary>${t('Model and key')}</summary>
      <form @submit=${(event: Event) => event.preventDefault()}>${this.#renderOptions(models)}</form></details>
      <section class="card talk" aria-label=${t('Conversation')}>
        <div class="messages" role="log" tabindex="0" aria-label=${t('Messages')}>
          ${this.#messages.length === 0 ? html`<p class="quiet hint">${t(HINT)}</p>` : nothing}
          ${this.#messages.map((message) => this.#renderMessage(message))}
        </div>
        <form class="composer" @submit=${this.#submit}>
          <textarea aria-label=${t('Message')} name="text" rows="2" required
            .defaultValue=${t('Hello! What can you do?')} @keydown=${this.#sendOnEnter}></textarea>
          ${
            this.#leave
              ? html`<button type="button" @click=${() => this.#leave?.abort()}>${t('Stop')}</button>`
              : html`<button class="primary">${t('Send')}</button>`
          }
        </form>
      </section></div>`
  }

  #renderOptions(models: readonly string[]): TemplateResult {
    const setModel = this.#set((value) => (this.#model = value))
    const model = html`<input list="models" .value=${this.#model} @change=${setModel} autocomplete="off" spellcheck="false" />
      <datalist id="models">${models.map((name) => option(name, name))}</datalist>`
    const key = html`<select @change=${this.#set((value) => (this.#keyChoice = value))}>
      ${option(TEMPORARY, t('Temporary, 1 hour'))}
      ${ownKeys.map(({ id, name }) => option(id, name, id === this.#keyChoice))}
      ${option(TYPED, t('Another key …'), this.#keyChoice === TYPED)}</select>`
    const typed = html`<input type="password" placeholder="sk-tb-…" autocomplete="off" .value=${this.#typedKey}
      @input=${this.#set((value) => (this.#typedKey = value.trim()))} />`
    const system = html`<textarea rows="2" .value=${this.#system} @input=${this.#set((value) => (this.#system = value))}></textarea>`
    const tool = html`<input type="checkbox" .checked=${this.#withTool} @change=${this.#toggleTool} />`
    return html`${field(t('Model'), model)}${field(t('Key'), key)}
      ${this.#keyChoice === TYPED ? field(t('Broker key'), typed) : nothing}
      ${field(t('System message'), system)}${choice(tool, t('Offer a sample tool: the time'))}`
  }

  #renderMessage(message: Message): TemplateResult {
    const { role, content, toolCalls, facts, problem } = message
    const isWaiting = this.#leave !== undefined && message === this.#messages.at(-1) && role === 'assistant'
    const who = role === 'user' ? t('You') : role === 'tool' ? t('Tool result') : t('Model')
    return html`<article class="message ${role}">
      <h2>${role === 'tool' ? icon('tool') : nothing}${who}</h2>
      ${content || isWaiting ? html`<p>${content}${isWaiting ? html`<span class="caret" aria-hidden="true"></span>` : nothing}</p>` : nothing}
      ${toolCalls.map((call) => html`<pre class="tool-call" tabindex="0">${icon('tool')}${call.name}(${call.arguments})</pre>`)}
      ${problem ? html`<p class="note bad" role="alert">${problem}</p>` : nothing}
      ${facts ? html`<p class="quiet facts-line">${facts}</p>` : nothing}
    </article>`
  }

  readonly #submit = (event: SubmitEvent) => {
    event.preventDefault()
    const field = this.querySelector<HTMLTextAreaElement>('.composer textarea')
    const text = field?.value.trim()
    if (!field || !text || this.#leave) return
    field.value = ''
    field.focus()
    this.#messages.push({ role: 'user', content: text, toolCalls: [] })
    void this.#converse()
  }

  /** Answers tool calls itself and asks on, a few times at most. */
  async #converse(): Promise<void> {
    const leave = new AbortController()
    this.#leave = leave
    for (let round = 0; round <= MAX_TOOL_ROUNDS; round += 1) {
      const answer = await this.#ask(leave.signal)
      if (answer.problem !== undefined || answer.toolCalls.length === 0 || leave.signal.aborted) break
      for (const { id } of answer.toolCalls) {
        this.#messages.push({ role: 'tool', content: answerTool(), toolCalls: [], toolCallId: id })
      }
    }
    this.#leave = undefined
    this.requestUpdate()
  }

  async #ask(signal: AbortSignal): Promise<Message> {
    const messages = [...this.#messages]
    const answer: Message = { role: 'assistant', content: '', toolCalls: [] }
    this.#messages.push(answer)
    this.#grew()
    try {
      const key = await this.#key()
      const request = {
        key,
        model: this.#model ?? '',
        system: this.#system.trim(),
        messages,
        withTool: this.#withTool,
      }
      answer.facts = factsLine(await streamChat(request, answer, () => this.#grew(), signal))
    } catch (error) {
      if (!signal.aborted) answer.problem = error instanceof Error ? error.message : String(error)
    }
    this.#grew()
    return answer
  }

  async #key(): Promise<string> {
    if (this.#keyChoice === TYPED) return this.#typedKey
    const own = ownKeys.find(({ id }) => id === this.#keyChoice)
    return own ? own.key : (await temporaryKey()).key
  }

  /** What accounts list; where none lists anything, the endpoint is asked, once: that is a call, and counted. */
  async #loadModels(): Promise<string[]> {
    const { items } = await get<ModelConfigPage>('/api/models/configs?page_size=100&is_active=true')
    const healthy = items.filter(({ credential }) => credential.next_action === 'none')
    const listed = (healthy.length > 0 ? healthy : items).flatMap(({ name, models }) =>
      models.map(({ model_id }) => `${name}/${model_id}`),
    )
    if (listed.length > 0 || items.length === 0) return listed
    this.#asked ??= listedByEndpoint()
    return this.#asked.catch((error: unknown) => {
      this.#asked = undefined
      throw error
    })
  }

  readonly #clear = () => {
    this.#leave?.abort()
    this.#messages = []
    this.requestUpdate()
  }

  readonly #toggleTool = (event: Event) => {
    this.#withTool = (event.target as HTMLInputElement).checked
  }

  readonly #sendOnEnter = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    this.querySelector<HTMLFormElement>('.composer')?.requestSubmit()
  }

  #set(keep: (value: string) => void): (event: Event) => void {
    return (event) => {
      keep((event.target as HTMLInputElement).value)
      this.requestUpdate()
    }
  }

  #grew(): void {
    const log = this.querySelector('.messages')
    const isAtEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 80
    this.requestUpdate()
    if (isAtEnd) void this.updateComplete.then(() => this.querySelector('.messages')?.scrollTo(0, 1e9))
  }
}

async function listedByEndpoint(): Promise<string[]> {
  const { key } = await temporaryKey()
  const response = await fetch(addressOf('/v1/models'), { headers: { authorization: `Bearer ${key}` } })
  const { data = [] } = (await response.json()) as { data?: { id: string }[] }
  return data.length > 0 ? data.map(({ id }) => id) : ['']
}

function factsLine({ firstMs, totalMs, promptTokens, completionTokens, trace }: ChatFacts): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
  return [
    ...(firstMs === undefined ? [] : [t('first word after {time}', { time: seconds(firstMs) })]),
    t('done after {time}', { time: seconds(totalMs) }),
    ...(promptTokens === undefined
      ? []
      : [t('{in} in · {out} out', { in: count(promptTokens), out: count(completionTokens ?? 0) })]),
    ...(trace === null ? [] : [trace]),
  ].join(' · ')
}

customElements.define('view-playground', Playground)
