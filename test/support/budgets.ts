/**
 * What to look at: files and functions that have grown long, long lists of parameters, files that need much from
 * elsewhere. A function's length counts the functions in it as well.
 */
import { dirname, join, normalize } from 'node:path'
import {
  isArrowFunction,
  isConstructorDeclaration,
  isFunctionDeclaration,
  isFunctionExpression,
  isGetAccessorDeclaration,
  isImportDeclaration,
  isMethodDeclaration,
  isPropertyAssignment,
  isSetAccessorDeclaration,
  isStringLiteral,
  isVariableDeclaration,
  type Node,
  type SourceFile,
} from 'typescript/unstable/ast'
import { linesOf, walk } from './source-trees.ts'

export interface Measured {
  readonly file: string
  readonly lines: number
  /** Files of other folders of the house that it imports. */
  readonly imports: number
  readonly functions: readonly MeasuredFunction[]
}

export interface MeasuredFunction {
  readonly name: string
  readonly lines: number
  readonly parameters: number
}

/** @param file below `src/` */
export function measure(file: string, tree: SourceFile): Measured {
  const functions: MeasuredFunction[] = []
  let imports = 0
  for (const node of walk(tree)) {
    if (isImportDeclaration(node) && isStringLiteral(node.moduleSpecifier)) {
      imports += isElsewhere(file, node.moduleSpecifier.text) ? 1 : 0
    } else if (isFunction(node)) {
      const name = nameOf(node)?.getText(tree) ?? (isConstructorDeclaration(node) ? 'constructor' : '=>')
      functions.push({ name, lines: linesOf(node, tree), parameters: node.parameters.length })
    }
  }
  return { file, lines: tree.text.trimEnd().split('\n').length, imports, functions }
}

function isElsewhere(file: string, name: string): boolean {
  const [folder] = file.split('/')
  return name.startsWith('.') && normalize(join(dirname(file), name)).split('/')[0] !== folder
}

/** Its own, or that of what it is assigned to. */
function nameOf(node: Node & { readonly name?: Node | undefined }): Node | undefined {
  const { name, parent } = node
  return name ?? (isVariableDeclaration(parent) || isPropertyAssignment(parent) ? parent.name : undefined)
}

function isFunction(node: Node) {
  return (
    isFunctionDeclaration(node) ||
    isFunctionExpression(node) ||
    isArrowFunction(node) ||
    isMethodDeclaration(node) ||
    isConstructorDeclaration(node) ||
    isGetAccessorDeclaration(node) ||
    isSetAccessorDeclaration(node)
  )
}
