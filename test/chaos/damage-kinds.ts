// What a disk may do to a file, by kind of file and by kind of damage: on a node's data directory, while it does not run.

import {
  copyFileSync,
  existsSync,
  openSync,
  closeSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Prng } from '../../src/base/prng.ts'
import { must } from '../../src/base/assert.ts'

export const fileKinds = ['segment', 'level-log', 'table', 'manifest', 'current', 'values', 'identity'] as const
export type FileKind = (typeof fileKinds)[number]
export const damageKinds = ['flipped', 'truncated', 'deleted', 'swapped'] as const
export type DamageKind = (typeof damageKinds)[number]

const names: Readonly<Record<FileKind, { readonly folder: string; readonly pattern: RegExp }>> = {
  segment: { folder: 'log', pattern: /^\d+/ },
  'level-log': { folder: 'state', pattern: /^\d+\.log$/ },
  table: { folder: 'state', pattern: /^\d+\.ldb$/ },
  manifest: { folder: 'state', pattern: /^MANIFEST-\d+$/ },
  current: { folder: 'state', pattern: /^CURRENT$/ },
  values: { folder: 'state/values', pattern: /\.values$/ },
  identity: { folder: '.', pattern: /^identity\.json$/ },
}

export function filesOf(data: string, kind: FileKind): readonly string[] {
  const { folder, pattern } = names[kind]
  if (!existsSync(join(data, folder))) return []
  return readdirSync(join(data, folder))
    .filter(name => pattern.test(name))
    .sort()
    .map(name => join(data, folder, name))
}

/** Says what was done; undefined: there is no file of the kind, or nothing that would change it. `other`: another node's directory. */
export function damage(
  data: string,
  other: string,
  kind: FileKind,
  how: DamageKind,
  random: Prng,
): { readonly file: string; readonly what: string } | undefined {
  const files = filesOf(data, kind)
  if (files.length === 0) return undefined
  const file = must(files[random.below(files.length)])
  const bytes = statSync(file).size
  switch (how) {
    case 'flipped': {
      if (bytes === 0) return undefined
      // A segment is zeros to its end: half of the flips fall into what was written.
      const bound = kind === 'segment' && random.below(2) === 0 ? writtenBytes(file) : bytes
      const at = random.below(bound)
      flip(file, at, random.below(8))
      return { file, what: `a bit flipped at ${at} of ${bytes}` }
    }
    case 'truncated': {
      if (bytes === 0) return undefined
      const length = random.below(bytes)
      truncateSync(file, length)
      return { file, what: `truncated from ${bytes} to ${length}` }
    }
    case 'deleted':
      rmSync(file)
      return { file, what: 'deleted' }
    case 'swapped': {
      const others = filesOf(other, kind)
      if (others.length === 0) return undefined
      const from = must(others[random.below(others.length)])
      copyFileSync(from, file)
      return { file, what: `replaced by ${from.slice(other.length)}` }
    }
  }
}

export function flip(file: string, at: number, bit: number): void {
  const handle = openSync(file, 'r+')
  try {
    const byte = Buffer.alloc(1)
    readSync(handle, byte, 0, 1, at)
    byte[0] = (byte[0] ?? 0) ^ (1 << bit)
    writeSync(handle, byte, 0, 1, at)
  } finally {
    closeSync(handle)
  }
}

function writtenBytes(file: string): number {
  const handle = openSync(file, 'r')
  try {
    const bytes = Buffer.alloc(statSync(file).size)
    readSync(handle, bytes, 0, bytes.length, 0)
    for (let end = bytes.length; end > 0; end--) if (bytes[end - 1] !== 0) return end
    return 1
  } finally {
    closeSync(handle)
  }
}
