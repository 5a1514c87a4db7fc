// Reads the checkout for the house rules: which files there are, what each imports, and its code without comments and
// string contents, so that a rule about code is not tripped by prose. A scanner of its own, because TypeScript 7 ships
// no compiler API; it knows just enough of the grammar (strings, templates, comments, regular expressions by position).

import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export const checkout = join(import.meta.dirname, '../..')

/** Made, not written: never looked at. */
const made = new Set(['node_modules', 'dist', '.git', '.cache', '.quorate', 'src/proto'])

export interface SourceFile {
  /** Relative to the checkout, with forward slashes. */
  readonly path: string
  readonly text: string
}

export interface Import {
  /** `src/...` for a file of the checkout, else the package or `node:` name. */
  readonly target: string
  readonly typeOnly: boolean
}

export function listFiles(folder = ''): SourceFile[] {
  const files: SourceFile[] = []
  for (const entry of readdirSync(join(checkout, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name)
    if (made.has(path) || made.has(entry.name)) continue
    if (entry.isDirectory()) files.push(...listFiles(path))
    else if (entry.isFile()) files.push({ path, text: readFileSync(join(checkout, path), 'utf8') })
  }
  return files
}

/** Every static, dynamic and re-exporting import of a module. */
export function importsOf(file: SourceFile): Import[] {
  const code = withoutComments(file.text)
  const found: Import[] = []
  const statement = /^\s*(?:import|export)\s+(type\s+)?(?:[^'"`;=()]*?\sfrom\s*)?['"]([^'"]+)['"]/gm
  for (const match of code.matchAll(statement)) found.push(importOf(file, match[2] ?? '', match[1] !== undefined))
  for (const match of code.matchAll(/\bimport\s*\(\s*['"`]([^'"`]+)['"`]/g)) {
    found.push(importOf(file, match[1] ?? '', false))
  }
  return found
}

function importOf(file: SourceFile, specifier: string, typeOnly: boolean): Import {
  const target = specifier.startsWith('.') ? posix.join(posix.dirname(file.path), specifier) : specifier
  return { target, typeOnly }
}

/** The code with every comment and the contents of every string blanked; line breaks stay where they were. */
export function bareCode(text: string): string {
  return scan(text, true)
}

function withoutComments(text: string): string {
  return scan(text, false)
}

function scan(text: string, blankStrings: boolean): string {
  const out: string[] = []
  // Depths of braces inside `${`: code again until the brace closes.
  const templates: number[] = []
  let index = 0
  let depth = 0
  const keep = (length: number) => {
    out.push(text.slice(index, index + length))
    index += length
  }
  const blank = (end: number) => {
    out.push(text.slice(index, end).replace(/[^\n]/g, ' '))
    index = end
  }
  const quoted = (quote: string) => {
    let end = index + 1
    while (end < text.length && text[end] !== quote) end += text[end] === '\\' ? 2 : 1
    stringTo(end + 1)
  }
  const stringTo = (end: number) => {
    if (!blankStrings) return keep(end - index)
    keep(1)
    blank(Math.max(index, end - 1))
    keep(end - index)
  }
  const template = () => {
    let end = index
    while (end < text.length) {
      if (text[end] === '\\') end += 2
      else if (text[end] === '`') break
      else if (text.startsWith('${', end)) break
      else end++
    }
    if (blankStrings) blank(end)
    else keep(end - index)
    if (text.startsWith('${', index)) {
      templates.push(depth)
      depth++
      keep(2)
    } else keep(1)
  }
  while (index < text.length) {
    const char = text[index]
    if (text.startsWith('//', index) || text.startsWith('#!', index)) {
      const end = text.indexOf('\n', index)
      blank(end < 0 ? text.length : end)
    } else if (text.startsWith('/*', index)) {
      const end = text.indexOf('*/', index + 2)
      blank(end < 0 ? text.length : end + 2)
    } else if (char === "'" || char === '"') quoted(char)
    else if (char === '/' && startsRegularExpression(out)) {
      const match = /^\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\//.exec(text.slice(index))
      if (match === null) keep(1)
      else stringTo(index + match[0].length)
    } else if (char === '`') {
      keep(1)
      template()
    } else if (char === '{') {
      depth++
      keep(1)
    } else if (char === '}') {
      depth--
      keep(1)
      if (templates.at(-1) === depth) {
        templates.pop()
        template()
      }
    } else keep(1)
  }
  return out.join('')
}

/** A slash begins a regular expression where an operand is due. */
function startsRegularExpression(out: readonly string[]): boolean {
  const before = out.slice(-40).join('').trimEnd()
  return before === '' || /[=(,:;!&|?{}[+\-*%<>~^]$|\b(?:return|case|typeof|in|of)$/.test(before)
}
