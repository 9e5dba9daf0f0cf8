/**
 * Whose SQL names which table, and whose may: docs/architecture.md says so in a table of its own.
 *
 * Seen are the methods of Kysely that take a table, and templates of `sql`. What is not seen: SQL that is put together
 * elsewhere and handed in as text, and a method that is called by another name.
 */
import { readFileSync } from 'node:fs'
import {
  isArrayLiteralExpression,
  isArrowFunction,
  isCallExpression,
  isConditionalExpression,
  isIdentifier,
  isInterfaceDeclaration,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isPropertySignatureDeclaration,
  isStringLiteral,
  isTaggedTemplateExpression,
  type Node,
  type SourceFile,
} from 'typescript/unstable/ast'
import { walk } from './source-trees.ts'

/** Files as docs/architecture.md names them: `src/…`. */
export interface TableOwner {
  readonly writers: readonly string[]
  readonly readers: readonly string[]
}

/** The row of commands that go over tables whose names they do not spell. */
const ALL_TABLES = '*'
/** Whose folder may read any table: it holds what others look up. */
const STORAGE = 'src/storage/'
const WRITES = new Set(['insertInto', 'updateTable', 'deleteFrom', 'replaceInto', 'mergeInto'])
const READS = new Set([
  ...['selectFrom', 'innerJoin', 'leftJoin', 'rightJoin', 'fullJoin', 'crossJoin', 'using', 'usingTable'],
  ...['innerJoinLateral', 'leftJoinLateral', 'crossJoinLateral'],
])

/** @param page docs/architecture.md */
export function readOwners(page: string): Map<string, TableOwner> {
  const table = /^\| table \|.*\n\|[-|]+\n((?:\|.*\n)+)/m.exec(page)?.[1] ?? ''
  const filesIn = (cell = '') => [...cell.matchAll(/`(src\/[^`]+)`/g)].map(([, file]) => file ?? '')
  const rows = table.trimEnd().split('\n')
  return new Map(
    rows.map((row) => {
      const [, name = '', writers, readers] = row.split('|')
      return [name.replaceAll(/[\s`]/g, ''), { writers: filesIn(writers), readers: filesIn(readers) }]
    }),
  )
}

/** The tables that there are. @param tree of `src/storage/tables.ts` */
export function tablesIn(tree: SourceFile): string[] {
  for (const node of walk(tree)) {
    if (!isInterfaceDeclaration(node) || node.name.text !== 'Tables') continue
    return node.members.flatMap((member) =>
      isPropertySignatureDeclaration(member) ? member.name.getText(tree) : [],
    )
  }
  return []
}

/** @param file `src/…` */
export function foreignSql(
  file: string,
  tree: SourceFile,
  owners: ReadonlyMap<string, TableOwner>,
): string[] {
  const found: string[] = []
  for (const { table, isWrite } of mentionsIn(
    tree,
    [...owners.keys()].filter((table) => table !== ALL_TABLES),
  )) {
    const owner = owners.get(table ?? ALL_TABLES)
    const { writers, readers } = owner ?? { writers: [], readers: [] }
    const isOwner = writers.includes(file)
    const isReader = readers.includes(file) || (table !== undefined && file.startsWith(STORAGE))
    const all = owners.get(ALL_TABLES)
    const goesOverAll = all?.writers.includes(file) || (!isWrite && all?.readers.includes(file))
    if (isOwner || goesOverAll || (!isWrite && isReader)) continue
    found.push(`${file} ${isWrite ? 'writes' : 'reads'} ${table ?? 'a table that it does not spell'}`)
  }
  return found
}

interface Mention {
  /** Undefined: its name is not in the code. */
  readonly table: string | undefined
  readonly isWrite: boolean
}

function* mentionsIn(tree: SourceFile, tables: readonly string[]): Generator<Mention> {
  for (const node of walk(tree)) {
    if (isTaggedTemplateExpression(node)) {
      if (!isSql(node.tag)) continue
      yield* mentionsInText(node.template.getText(tree), tables)
    } else if (isCallExpression(node) && isPropertyAccessExpression(node.expression)) {
      const method = node.expression.name.text
      const [first] = node.arguments
      if (!first) continue
      if (isSql(node.expression.expression) && ['raw', 'table', 'id'].includes(method)) {
        if (!isText(first)) yield { table: undefined, isWrite: true }
        else yield* mentionsInText(first.text, tables)
      } else if (WRITES.has(method) || READS.has(method)) {
        for (const table of namesIn(first)) yield { table, isWrite: WRITES.has(method) }
      }
    }
  }
}

function isSql(node: Node): boolean {
  return isIdentifier(node) && node.text === 'sql'
}

function isText(node: Node): node is Node & { text: string } {
  return isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)
}

function* mentionsInText(text: string, tables: readonly string[]): Generator<Mention> {
  for (const table of tables) {
    const named = new RegExp(`\\b${table}\\b`)
    const written = new RegExp(`\\b(?:into|update|delete\\s+from|replace)\\s+["\`]?${table}\\b`, 'i')
    if (named.test(text)) yield { table, isWrite: written.test(text) }
  }
}

/** What a first argument names. A query in its place names its tables itself. */
function namesIn(node: Node): (string | undefined)[] {
  if (isText(node)) return [node.text.split(/\s/)[0]]
  if (isArrayLiteralExpression(node)) return node.elements.flatMap(namesIn)
  if (isConditionalExpression(node)) return [...namesIn(node.whenTrue), ...namesIn(node.whenFalse)]
  return isCallExpression(node) || isArrowFunction(node) ? [] : [undefined]
}

export function readPage(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
}
