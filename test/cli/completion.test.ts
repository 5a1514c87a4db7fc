// The scripts run in the shells that they are for; zsh and fish where the machine has them.

import { execFileSync, spawnSync } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { runCli } from '../../src/cli/cli.ts'

const scripts = new Map<string, string>()
beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    let text = ''
    const stdout = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString()
        done()
      },
    })
    const io = { stdout, stderr: stdout, stdin: Readable.from([]), env: {}, signal: new AbortController().signal }
    expect(await runCli(['completion', shell], io)).toBe(0)
    scripts.set(shell, text)
  }
})

const hasShell = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0

function run(shell: string, argv: readonly string[]): string {
  return execFileSync(shell, argv, { encoding: 'utf8' })
}

/** What bash offers behind these words, the last of which is being written. */
function inBash(words: readonly string[]): string[] {
  const script = `${scripts.get('bash')}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _quorate; printf '%s\\n' "\${COMPREPLY[@]}"`
  const out = run('bash', ['--norc', '-uc', script, 'bash', ...words])
  return out.split('\n').filter(Boolean)
}

/** By stand-ins for zsh's own functions, which need a terminal. */
function inZsh(words: readonly string[]): string[] {
  const script = `compdef() { : }
_describe() { [[ $1 == -o ]] && shift; print -l -- \${(P)2} }
compadd() { shift; print -l -- "$@" }
${scripts.get('zsh')}
words=("$@"); CURRENT=$#; _quorate; :`
  const out = run('zsh', ['-fc', script, 'zsh', ...words])
  return out
    .split('\n')
    .map(line => line.replace(/:.*/, ''))
    .filter(Boolean)
}

function inFish(words: readonly string[]): string[] {
  const script = `${scripts.get('fish')}\ncomplete -C '${words.join(' ')}'`
  const out = run('fish', ['--no-config', '-c', script])
  return out
    .split('\n')
    .map(line => line.replace(/\t.*/, ''))
    .filter(Boolean)
}

const cases: [string[], string[]][] = [
  [['quorate', 'g'], ['get']],
  [
    ['quorate', 'st'],
    ['start', 'status'],
  ],
  [
    ['quorate', 'member', ''],
    ['add', 'promote', 'remove'],
  ],
  [['quorate', 'leader', 't'], ['transfer']],
  [
    ['quorate', 'get', '--key'],
    ['--key-base64', '--key-hex'],
  ],
  [['quorate', 'member', 'add', '--out'], ['--output']],
  [
    ['quorate', 'get', '--output', ''],
    ['text', 'json'],
  ],
  [['quorate', 'bench', '--workload', 'm'], ['mixed']],
  [
    ['quorate', 'completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  // The value of an option is no subcommand, and nothing is offered for it.
  [['quorate', 'get', '--at', 'member', '--st'], ['--stale']],
  [['quorate', 'get', '--at', ''], []],
  [['quorate', 'put', 'member', ''], []],
]

describe.each([
  ['bash', inBash],
  ['zsh', inZsh],
  ['fish', inFish],
] as const)('in %s', (shell, complete) => {
  test.skipIf(!hasShell(shell))('what is begun is completed', { timeout: 60_000 }, () => {
    for (const [words, expected] of cases) {
      // Of the stand-ins for zsh nothing is filtered by what was written.
      const offered = complete(words).filter(word => word.startsWith(words.at(-1) ?? ''))
      expect([words, offered.sort()]).toEqual([words, expected.toSorted()])
    }
  })
})

test('every command and every option is there', async () => {
  for (const script of scripts.values()) {
    for (const word of ['start', 'history', 'transfer', 'peer-listen', 'value-hex', 'from-start', 'help']) {
      expect(script).toContain(word)
    }
  }
  expect(inBash(['quorate', 'start', '--peer-'])).toEqual(['--peer-listen', '--peer-advertise'])
})

test('files are completed where an option takes one', () => {
  const directory = new URL('../../', import.meta.url).pathname
  expect(inBash(['quorate', 'start', '--config', `${directory}pack`])).toContain(`${directory}package.json`)
})
