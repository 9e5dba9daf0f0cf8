/**
 * Pages of a list in the order of an index: those that come after a row are found where it stands, or would stand if it
 * were still there, however many come before it.
 */
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'

/** Of a row in a list: the values of the columns that the list is in the order of, which no two rows share. */
export type Position = readonly (string | number)[]

/** Where a page begins: behind a row, or so many rows after the first. */
export type PageStart = { readonly after: Position } | { readonly skip: number }

export type Direction = 'asc' | 'desc'

export interface KeyOrder {
  /** All in one direction, as an index can be read; no two rows share all of them. */
  readonly columns: readonly string[]
  readonly direction: Direction
  readonly start: PageStart
  readonly limit: number
}

export function inKeyOrder<DB, TB extends keyof DB, O>(
  query: SelectQueryBuilder<DB, TB, O>,
  { columns, direction, start, limit }: KeyOrder,
): SelectQueryBuilder<DB, TB, O> {
  let page =
    'after' in start ? query.where(comesAfter(columns, direction, start.after)) : query.offset(start.skip)
  for (const column of columns) page = page.orderBy(sql.ref(column), direction)
  return page.limit(limit)
}

/** Said twice: SQLite finds the place in an index by the first half, MySQL by the second. */
function comesAfter(columns: readonly string[], direction: Direction, after: Position): RawBuilder<boolean> {
  const sides = columns.map(
    (column, n): Side => ({
      column: sql.ref(column),
      value: sql`${after[n]}`,
    }),
  )
  const beyond = direction === 'asc' ? sql`>` : sql`<`
  const asRow = (part: keyof Side) => sql`(${sql.join(sides.map((side) => side[part]))})`
  return sql`${asRow('column')} ${beyond} ${asRow('value')} and ${stepByStep(sides, beyond)}`
}

interface Side {
  readonly column: RawBuilder<unknown>
  readonly value: RawBuilder<unknown>
}

function stepByStep([first, ...others]: readonly Side[], beyond: RawBuilder<unknown>): RawBuilder<boolean> {
  if (!first) return sql`false`
  const { column, value } = first
  const isBeyond = sql<boolean>`${column} ${beyond} ${value}`
  if (others.length === 0) return isBeyond
  return sql`(${isBeyond} or (${column} = ${value} and ${stepByStep(others, beyond)}))`
}

/** Whether a text holds another, in upper or lower case as far as the database knows which is which. */
export function isPartOf(column: string, part: string): RawBuilder<boolean> {
  return sql`instr(lower(${sql.ref(column)}), lower(${part})) > 0`
}
