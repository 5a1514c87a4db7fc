// A snapshot on its way in, as a crash leaves it: whole in the spool, the install begun. And what may become of it.

import { cpSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { must } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { exportRange } from '../../src/mvcc/range-export.ts'
import { SnapshotSpool } from '../../src/range/snapshot-spool.ts'
import { rangeOne } from '../../src/range/store.ts'
import { filesOf, flip } from './damage-kinds.ts'
import type { DamageLab } from './damage-lab.ts'
import { systemClock } from '../../src/time/system-clock.ts'

export const spoolDamages = [
  'whole',
  'file flipped',
  'chunk flipped',
  'chunk truncated',
  'chunk deleted',
  'chunk swapped',
  'chunks reordered',
  'mark deleted',
] as const
export type SpoolDamage = (typeof spoolDamages)[number]

const span = { start: `nspool/${rangeOne}/`, end: `nspool/${rangeOne}/\xff` }

/** Makes `lab.midway`: the early directory with another node's newest state in its spool, and the install begun. */
export async function prepareSpool(lab: DamageLab): Promise<void> {
  const scratch = join(lab.nodes.folder, 'scratch')
  cpSync(lab.other, scratch, { recursive: true })
  cpSync(lab.early, lab.midway, { recursive: true })
  const source = await openLevelEngine(join(scratch, 'state'), { clock: systemClock })
  const engine = await openLevelEngine(join(lab.midway, 'state'), { clock: systemClock })
  try {
    const spool = new SnapshotSpool(engine, rangeOne, batch => engine.write(batch))
    await spool.fill(exportRange(source, rangeOne))
    await spool.beginInstall()
  } finally {
    await engine.close()
    await source.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Says what was done. */
export async function damageSpool(lab: DamageLab, data: string, how: SpoolDamage, random: Prng): Promise<string> {
  if (how === 'whole') return 'left as it was'
  if (how === 'file flipped') {
    // The newest file of values holds the spool and little else.
    const file = must(filesOf(data, 'values').at(-1))
    const at = random.below(statSync(file).size)
    flip(file, at, random.below(8))
    return `a bit flipped at ${at}`
  }
  const engine = await openLevelEngine(join(data, 'state'), { clock: systemClock })
  try {
    if (how === 'mark deleted') {
      await engine.write([{ key: `ninstalling/${rangeOne}`, value: undefined }])
      return 'the mark of the install deleted'
    }
    const chunks = await engine.read(span, { limit: 1_000 })
    const at = random.below(chunks.length)
    const { key, value } = must(chunks[at])
    await engine.write([{ key, value: await spoiled(engine, lab, how, value, chunks, at, random) }])
    return `chunk ${at} of ${chunks.length}`
  } finally {
    await engine.close()
  }
}

async function spoiled(
  engine: Engine,
  lab: DamageLab,
  how: Exclude<SpoolDamage, 'whole' | 'file flipped' | 'mark deleted'>,
  value: Uint8Array,
  chunks: readonly { readonly key: string; readonly value: Uint8Array }[],
  at: number,
  random: Prng,
): Promise<Uint8Array | undefined> {
  switch (how) {
    case 'chunk flipped': {
      const copy = Buffer.from(value)
      const offset = random.below(copy.length)
      copy[offset] = (copy[offset] ?? 0) ^ (1 << random.below(8))
      return copy
    }
    case 'chunk truncated':
      return value.subarray(0, random.below(value.length))
    case 'chunk deleted':
      return undefined
    case 'chunk swapped':
      return await foreignChunk(lab, at)
    case 'chunks reordered': {
      const other = must(chunks[(at + 1) % chunks.length])
      await engine.write([{ key: other.key, value }])
      return other.value
    }
  }
}

/** The chunk of the same number of another snapshot: the victim's own state of long ago. */
async function foreignChunk(lab: DamageLab, number: number): Promise<Uint8Array | undefined> {
  const scratch = join(lab.nodes.folder, 'scratch')
  cpSync(lab.early, scratch, { recursive: true })
  const engine = await openLevelEngine(join(scratch, 'state'), { clock: systemClock })
  try {
    let at = 0
    for await (const chunk of exportRange(engine, rangeOne)) if (at++ === number) return chunk
    return undefined
  } finally {
    await engine.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}
