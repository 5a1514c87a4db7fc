// The house rules, checked on the sources themselves. Each rule is a list of offences, so that a failure names every
// file at once; and each first asserts that it has seen files, because a rule that looks at nothing always passes.

import { describe, expect, test } from 'vitest'
import { edges, importTable, outsideTable, pureFolders } from './import-table.ts'
import { bareCode, importsOf, listFiles, type SourceFile } from './source-files.ts'

const linesMax = 500
const files = listFiles()
const sources = files.filter(file => file.path.startsWith('src/') && /\.(ts|js)$/.test(file.path))
const modules = files.filter(file => /^(src|test)\/.*\.(ts|js)$/.test(file.path))

const topLevel = new Set([
  '.ci',
  '.gitattributes',
  '.gitignore',
  '.npmrc',
  'LICENSE',
  'Makefile',
  'README.md',
  'docker',
  'package-lock.json',
  'package.json',
  'proto',
  'src',
  'test',
  'tsconfig.json',
])

/** `src/raft/core.ts` → `raft`; `src/node.ts` → ``. */
function folderOf(path: string): string {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : ''
}

function lineOf(code: string, index: number): number {
  return code.slice(0, index).split('\n').length
}

function offences(among: readonly SourceFile[], pattern: RegExp): string[] {
  return among.flatMap(file => {
    const code = bareCode(file.text)
    return [...code.matchAll(pattern)].map(match => `${file.path}:${lineOf(code, match.index)} ${match[0].trim()}`)
  })
}

test('the rules see the sources that they judge', () => {
  expect(sources.length).toBeGreaterThan(10)
  expect(modules.length).toBeGreaterThan(sources.length)
  expect(sources.flatMap(importsOf).length).toBeGreaterThan(10)
  for (const folder of pureFolders.filter(name => name !== 'txn')) {
    expect(sources.filter(file => folderOf(file.path) === folder).length, folder).toBeGreaterThan(0)
  }
})

describe('the import table', () => {
  test('every folder of src has a row', () => {
    const without = new Set(sources.map(file => folderOf(file.path)).filter(folder => !(folder in importTable)))
    expect([...without]).toEqual([])
  })

  test('no folder imports what its row does not name', () => {
    const refused = sources.flatMap(file => {
      const folder = folderOf(file.path)
      const allowed = importTable[folder] ?? []
      return importsOf(file)
        .filter(({ target }) => target.startsWith('src/'))
        .filter(({ target }) => {
          const inSrc = target.slice('src/'.length)
          if (folderOf(target) === folder || allowed.includes('*')) return false
          return !allowed.some(entry => inSrc === entry || (!entry.includes('.') && inSrc.startsWith(`${entry}/`)))
        })
        .map(({ target }) => `${file.path} imports ${target}`)
    })
    expect(refused).toEqual([])
  })

  test('packages and the platform are touched only where the table allows it', () => {
    const refused = sources.flatMap(file =>
      importsOf(file)
        .filter(({ target }) => !target.startsWith('src/') && !target.startsWith('proto/'))
        .filter(({ target }) => {
          const allowed = outsideTable[target] ?? []
          return !allowed.includes(folderOf(file.path)) && !allowed.includes(file.path.slice('src/'.length))
        })
        .map(({ target }) => `${file.path} imports ${target}`),
    )
    expect(refused).toEqual([])
  })

  test('sources never import tests', () => {
    const refused = sources.filter(file => importsOf(file).some(({ target }) => target.startsWith('test/')))
    expect(refused.map(file => file.path)).toEqual([])
  })

  test('imports of our own files name the file, extension included', () => {
    const refused = modules.flatMap(file =>
      importsOf(file)
        .filter(({ target }) => /^(src|test)\//.test(target) && !/\.(ts|js|json)$/.test(target))
        .map(({ target }) => `${file.path} imports ${target}`),
    )
    expect(refused).toEqual([])
  })
})

describe('the pure core', () => {
  const pure = sources.filter(
    file => (pureFolders as readonly string[]).includes(folderOf(file.path)) && !edges.has(file.path),
  )

  test('never waits', () => {
    expect(offences(pure, /\b(?:await|async)\b|\bnew Promise\b|\.then\(/g)).toEqual([])
  })

  test('reads no clock, draws no randomness, and writes no log', () => {
    const acting = /\bDate\.now\b|\bnew Date\b|\bperformance\b|\bMath\.random\b|\bcrypto\b|\bconsole\b|\bprocess\b/g
    expect(offences(pure, acting)).toEqual([])
  })
})

test('only the Clock adapter sets timers', () => {
  const elsewhere = sources.filter(file => !edges.has(file.path))
  const timers = /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b|\bprocess\.nextTick\b/g
  expect(offences(elsewhere, timers)).toEqual([])
})

test('nothing but the command line writes to the console', () => {
  const silent = sources.filter(file => !['cli', ''].includes(folderOf(file.path)))
  expect(offences(silent, /\bconsole\./g)).toEqual([])
})

test(`no file is longer than ${linesMax} lines`, () => {
  const long = modules.filter(file => file.text.split('\n').length > linesMax + 1)
  expect(long.map(file => `${file.path} ${file.text.split('\n').length - 1}`)).toEqual([])
})

test('every source begins by saying what it is', () => {
  const silent = sources.filter(file => !/^(?:#!.*\n)?(?:\/\/|\/\*)/.test(file.text))
  expect(silent.map(file => file.path)).toEqual([])
})

test('files are named by kebab-case nouns that say what they hold', () => {
  const kebab = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z]+)*$/
  const hollow = /\b(?:utils?|helpers?|manager|common|misc|v\d)\b/
  const refused = modules.filter(({ path }) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return !kebab.test(name) || hollow.test(name)
  })
  expect(refused.map(file => file.path)).toEqual([])
})

test('nothing stands at the top level but what is known to belong there', () => {
  const names = new Set(files.map(file => file.path.split('/')[0] ?? ''))
  // What git ignores may lie about: logs and profiles.
  const strays = [...names].filter(name => !topLevel.has(name) && !/\.(?:log|cpuprofile|heapsnapshot)$/.test(name))
  expect(strays).toEqual([])
})

test("no file names a path of somebody's machine", () => {
  const machine = /(?:^|[\s'"`(=:])\/(?:home|root|Users|work|workspace)\/[\w.-]+/gm
  const found = files
    .filter(file => file.path !== 'LICENSE')
    .flatMap(file => [...file.text.matchAll(machine)].map(match => `${file.path} ${match[0].trim()}`))
  expect(found).toEqual([])
})

test('the lock file names no registry', () => {
  const lock = files.find(file => file.path === 'package-lock.json')
  expect(lock?.text).toContain('"lockfileVersion"')
  expect(lock?.text).not.toContain('"resolved": "http')
})

test('only erasable TypeScript is accepted, so that Node runs the sources as they are', () => {
  const config: unknown = JSON.parse(files.find(file => file.path === 'tsconfig.json')?.text ?? '')
  expect(config).toMatchObject({
    compilerOptions: { erasableSyntaxOnly: true, strict: true, verbatimModuleSyntax: true },
  })
})

describe('the scanner behind the rules', () => {
  test('blanks comments and strings, and keeps code in templates', () => {
    const code = bareCode("const a = 'await' // await\n/* await */ const b = `await ${await c} await`")
    expect(code.match(/await/g)).toHaveLength(1)
    expect(code.split('\n')).toHaveLength(2)
  })

  test('is not led astray by quotes inside regular expressions', () => {
    expect(bareCode("const a = /['\"`]/g\nawait b // it's")).toContain('await b')
  })

  test('sees static, type, dynamic, bare and re-exporting imports', () => {
    const text = [
      "import { a } from './a.ts'",
      "import type { b } from '../b/b.ts'",
      "import 'node:fs'",
      "export { c } from 'pkg'",
      "const d = await import('./d.ts')",
      "// import { e } from './e.ts'",
      'import {\n  f,\n} from "./f.ts"',
    ].join('\n')
    const seen = importsOf({ path: 'src/x/y.ts', text }).map(entry => entry.target)
    expect(seen.sort()).toEqual(['node:fs', 'pkg', 'src/b/b.ts', 'src/x/a.ts', 'src/x/d.ts', 'src/x/f.ts'])
  })
})
