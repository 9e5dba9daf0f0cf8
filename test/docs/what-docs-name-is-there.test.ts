/** Files, folders and pages that README and docs name. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT })

/** What a page names in backquotes as a path, and what it links to below the project. */
function named(page: string, text: string): string[] {
  const quoted = [...text.matchAll(/`((?:src|test|config|migrations|docs)\/[\w./-]*)`/g)].map(
    ([, path = '']) => path,
  )
  const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
  return [...quoted, ...links.map((target) => join(dirname(page), target))]
}

/** GitHub's name for a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

for (const page of PAGES)
  t.test(page, async (t) => {
    const text = readFileSync(join(ROOT, page), 'utf8')
    for (const path of named(page, text)) t.ok(existsSync(join(ROOT, path)), path)
    for (const [, target = '', anchor = ''] of text.matchAll(/\]\(([^)#\s:]*)#([^)]+)\)/g)) {
      const there = target === '' ? text : readFileSync(join(ROOT, dirname(page), target), 'utf8')
      const anchors = [...there.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))
      t.ok(anchors.includes(anchor), `${target}#${anchor}`)
    }
  })
