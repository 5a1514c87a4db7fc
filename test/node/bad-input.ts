// What the tests of bad input share: a `quorate` process that is expected to end by itself, and the proof that a cluster
// came to no harm.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect } from 'vitest'
import { must } from '../../src/base/assert.ts'
import type { LocalNodes } from '../support/local-nodes.ts'
import { until, within } from '../support/until.ts'

const checkout = join(import.meta.dirname, '../..')

export interface Ended {
  readonly code: number | null
  readonly err: string
}

export async function runQuorate(
  argv: readonly string[],
  spawned: (child: ChildProcess) => void = child => child.stdout?.resume(),
): Promise<Ended> {
  const child = spawn(process.execPath, ['src/quorate.js', ...argv], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  spawned(child)
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  try {
    const [code] = (await within(`quorate ${argv[0]} ends`, 15_000, once(child, 'close'))) as [number | null]
    return { code, err }
  } finally {
    child.kill('SIGKILL')
  }
}

export type StartFlags = Readonly<Record<string, string | readonly string[]>>

export function startQuorate(flags: StartFlags): Promise<Ended> {
  const argv = Object.entries(flags).flatMap(([name, value]) => [
    `--${name}`,
    typeof value === 'string' ? value : value.join(','),
  ])
  return runQuorate(['start', ...argv])
}

/** One line that names the cause and the remedy, and no stack. */
export function expectRefusal({ code, err }: Ended, cause: RegExp, remedy: RegExp): void {
  expect(err).toMatch(cause)
  expect(err).toMatch(remedy)
  expect(err.trimEnd().split('\n')).toHaveLength(1)
  expect(code).toBe(1)
}

let writes = 0

/** A write and a read of it through every node, and equal hashes everywhere. */
export async function expectUnharmed(nodes: LocalNodes, ...names: readonly string[]): Promise<void> {
  const asked = names.length > 0 ? names : nodes.names
  for (const name of asked) {
    const client = nodes.client(name)
    const value = `value ${++writes}`
    await client.put('unharmed', value)
    expect(Buffer.from(must(await client.get('unharmed'))).toString()).toBe(value)
  }
  await until('equal hashes', async () => {
    const [range] = (await nodes.client(must(asked[0])).admin.status()).ranges
    const replicas = (range?.replicas ?? []).filter(replica => asked.includes(replica.node))
    const states = new Set(replicas.map(replica => `${replica.applied}/${replica.hash}`))
    return replicas.length === asked.length && states.size === 1
  })
}
