// A copy of the sources with one mutant's edits in it, that simulations and unit tests run in as in the original.

import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Edit, Mutant } from './mutants/mutant.ts'

export const root = join(import.meta.dirname, '../..')
/** What mutants are never judged by. */
const left = ['test/chaos', 'test/bench', 'src/cli'].map(path => join(root, path))

/** The text with the edit in it; throws where the text to be replaced is not there exactly once. */
export function applyEdit(text: string, { file, find, replace }: Edit): string {
  const parts = text.split(find)
  assert.equal(parts.length, 2, `this stands ${parts.length - 1} times in ${file}, not once:\n${find}`)
  assert.notEqual(find, replace, `an edit of ${file} changes something`)
  return parts.join(replace)
}

/** Throws where an edit does not fit the sources as they are. */
export function checkEdits({ edits }: Mutant): void {
  const texts = new Map<string, string>()
  for (const edit of edits)
    texts.set(edit.file, applyEdit(texts.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8'), edit))
}

export interface MutantCopy extends AsyncDisposable {
  readonly path: string
}

/** `name`: of its folder, anew. Without edits it is the original. */
export async function copySources(name: string, edits: readonly Edit[]): Promise<MutantCopy> {
  const path = join(root, '.cache/mutants', `${name}-${process.pid}`)
  await rm(path, { recursive: true, force: true })
  await mkdir(path, { recursive: true })
  for (const part of ['src', 'test', 'proto', 'package.json', 'tsconfig.json'])
    await cp(join(root, part), join(path, part), { recursive: true, filter: source => !left.includes(source) })
  await symlink(join(root, 'node_modules'), join(path, 'node_modules'))
  for (const edit of edits) {
    const file = join(path, edit.file)
    await writeFile(file, applyEdit(await readFile(file, 'utf8'), edit))
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
