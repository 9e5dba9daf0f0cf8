/**
 * Pages of a list: by number, or one after the other by cursors (docs/api.md, Pages).
 *
 * A cursor names the row that its page comes after, so that rows which come and go meanwhile move nothing to where it
 * was seen already or passed over. What was counted when the walk began goes along in it, and is counted once.
 */
import { sha256 } from '../base/digest.ts'
import { storedList } from '../base/stored-json.ts'
import type { PageStart, Position } from '../storage/keyset.ts'
import { invalid } from './config-forms.ts'
import type { PageQuery } from './schemas.ts'

export interface List<Row> {
  /** Which rows, in which order: what a cursor is good for. */
  readonly question: object
  /** How many there are. */
  count(): Promise<number>
  read(start: PageStart, limit: number): Promise<Row[]>
  /** Undefined where rows change their places by themselves. */
  readonly positionOf: ((row: Row) => Position) | undefined
}

export interface Page<Row> {
  readonly total: number
  readonly page: number
  readonly page_size: number
  readonly items: readonly Row[]
  /** Of a walk. */
  readonly next_cursor?: string | null
}

/** @throws BrokerError invalid_request */
export async function readPage<Row>(
  { page, page_size = 20, cursor }: PageQuery,
  list: List<Row>,
): Promise<Page<Row>> {
  if (cursor === undefined) {
    const { total, items } = await readCounted(list, ((page ?? 1) - 1) * page_size, page_size)
    return { total, page: page ?? 1, page_size, items }
  }
  if (page !== undefined) throw invalid('cursor', 'takes the place of page', '不能与 page 同时使用')
  return readOn(cursor, page_size, list)
}

async function readOn<Row>(cursor: string, page_size: number, list: List<Row>): Promise<Page<Row>> {
  const { positionOf, question } = list
  if (!positionOf)
    throw invalid('cursor', 'cannot go with this sort: states change', '不能用于此排序：状态会变化')
  const mark = sha256(JSON.stringify(question)).slice(0, 16)
  const place = cursor === '' ? undefined : placeOf(cursor, mark)
  const { total, items, hasMore } = place
    ? { total: place.total, ...cut(await list.read({ after: place.after }, page_size + 1), page_size) }
    : await readCounted(list, 0, page_size)
  const page = place?.page ?? 1
  const last = hasMore ? items.at(-1) : undefined
  const next = last ? cursorOf({ total, page: page + 1, after: positionOf(last) }, mark) : null
  return { total, page, page_size, items, next_cursor: next }
}

interface Counted<Row> {
  readonly total: number
  readonly items: readonly Row[]
  readonly hasMore: boolean
}

/** Counting is looking at all of them; where the last page was read to its end that has been done. */
async function readCounted<Row>(list: List<Row>, skip: number, size: number): Promise<Counted<Row>> {
  const { items, hasMore } = cut(await list.read({ skip }, size + 1), size)
  const isEnd = !hasMore && (items.length > 0 || skip === 0)
  return { total: isEnd ? skip + items.length : await list.count(), items, hasMore }
}

/** @param rows one more than a page has, if there are more */
function cut<Row>(rows: readonly Row[], size: number): Pick<Counted<Row>, 'items' | 'hasMore'> {
  return { items: rows.slice(0, size), hasMore: rows.length > size }
}

interface Place {
  /** When the walk began. */
  readonly total: number
  readonly page: number
  readonly after: Position
}

function cursorOf({ total, page, after }: Place, mark: string): string {
  return Buffer.from(JSON.stringify([mark, total, page, ...after])).toString('base64url')
}

/** @throws BrokerError invalid_request if it is none of ours, or of another question */
function placeOf(cursor: string, mark: string): Place {
  const [itsMark, total, page, ...after] = storedList(Buffer.from(cursor, 'base64url').toString()) ?? []
  const isOurs =
    itsMark === mark && isNumber(total) && isNumber(page) && after.length > 0 && after.every(isValue)
  if (isOurs) return { total, page, after }
  throw invalid(
    'cursor',
    'must be the next_cursor of an answer to the same question; without one, send it empty',
    '必须是同一查询的应答中的 next_cursor；首次请求请留空',
  )
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isValue(value: unknown): value is string | number {
  return typeof value === 'string' || isNumber(value)
}
