/**
 * A list of which one page is shown, and in which one looks by part of a name. Each page is asked for by the cursor that the
 * one before it gave: nothing is counted again, and nobody is passed over because others came or went.
 */
import { html, type nothing, type ReactiveControllerHost, type TemplateResult } from 'lit'
import { t } from '../texts.ts'
import { icon } from './icons.ts'
import { Loader } from './loader.ts'
import { type ListPage, paging } from './paging.ts'

const PAGE_SIZE = 20
/** For another letter. */
const TYPING_MS = 100

export class PagedList<T extends ListPage> extends Loader<T> {
  /** Of the pages up to the one that is shown, or will be. */
  #cursors = ['']
  #namePart = ''
  readonly #pageSize: number
  #typing: ReturnType<typeof setTimeout> | undefined

  /** @param fetch is told the page's part of the query */
  constructor(host: ReactiveControllerHost, fetch: (query: string) => Promise<T>, pageSize = PAGE_SIZE) {
    super(host, async () => {
      const list = await fetch(this.#query)
      if (list.items.length > 0 || list.page === 1) return list
      this.#cursors = [''] // all of them are gone
      return fetch(this.#query)
    })
    this.#pageSize = pageSize
  }

  /** Whether those are shown alone whose names hold a part. */
  get isSearch(): boolean {
    return this.#namePart !== ''
  }

  get #query(): string {
    const part = this.isSearch ? `&q=${encodeURIComponent(this.#namePart)}` : ''
    return `page_size=${this.#pageSize}&cursor=${this.#cursors.at(-1)}${part}`
  }

  /** Another list is asked for than before. */
  restart(): void {
    this.#cursors = ['']
    void this.load()
  }

  renderSearch(): TemplateResult {
    return html`<label class="search">${icon('search')}<span class="visually-hidden">${t('Find by name')}</span>
      <input type="search" placeholder=${t('Find by name')} @input=${this.#type} /></label>`
  }

  /** Below the page that is shown. */
  renderPaging(list: T): TemplateResult | typeof nothing {
    return paging(list, (page) => {
      this.#cursors.length = Math.min(page, list.page)
      if (page > list.page) this.#cursors.push(list.next_cursor ?? '')
      void this.load()
    })
  }

  readonly #type = (event: Event) => {
    clearTimeout(this.#typing)
    this.#typing = setTimeout(() => {
      this.#namePart = (event.target as HTMLInputElement).value.trim()
      this.restart()
    }, TYPING_MS)
  }
}
