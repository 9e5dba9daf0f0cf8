/**
 * TypeScript files as trees, by the compiler's own parser. Nothing is resolved or checked: what a name stands for is
 * not known here.
 */
import type { Node, SourceFile } from 'typescript/unstable/ast'
import { createVirtualFileSystem } from 'typescript/unstable/fs'
import { API } from 'typescript/unstable/sync'

const ROOT = '/house'
const OPTIONS = { noLib: true, noResolve: true, noCheck: true, noEmit: true, types: [] }

/** @param texts by their paths, which may be made up */
export function parse(texts: ReadonlyMap<string, string>): Map<string, SourceFile> {
  const config = JSON.stringify({ compilerOptions: OPTIONS, files: [...texts.keys()] })
  const files = Object.fromEntries([...texts].map(([path, text]) => [`${ROOT}/${path}`, text]))
  const fs = createVirtualFileSystem({ ...files, [`${ROOT}/tsconfig.json`]: config })
  const api = new API({ cwd: ROOT, fs })
  try {
    const [project] = api.updateSnapshot({ openProjects: [`${ROOT}/tsconfig.json`] }).getProjects()
    const trees = new Map<string, SourceFile>()
    for (const path of texts.keys()) {
      const tree = project?.program.getSourceFile(`${ROOT}/${path}`)
      if (!tree) throw new Error(`${path} was not parsed`)
      trees.set(path, tree)
    }
    return trees
  } finally {
    api.close()
  }
}

/** A node and all below it, as they are written. */
export function* walk(root: Node): Generator<Node> {
  const waiting = [root]
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    yield node
    const children: Node[] = []
    node.forEachChild((child) => void children.push(child))
    waiting.push(...children.reverse())
  }
}

/** From its first line of code to its last. */
export function linesOf(node: Node, tree: SourceFile): number {
  return tree.text.slice(node.getStart(tree), node.end).split('\n').length
}
