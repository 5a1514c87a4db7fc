// The files of a database, checked before LevelDB opens them: each flipped bit is found, and what a crash leaves is not
// called damage.

import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { createPrng, type Prng } from '../../src/base/prng.ts'
import { crc32c, maskedCrc32c } from '../../src/engine/crc32c.ts'
import { findLevelDamage } from '../../src/engine/leveldb-check.ts'
import { openLevelEngine } from '../../src/engine/leveldb-engine.ts'
import { systemClock } from '../../src/time/system-clock.ts'

let folder: string
let whole: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-check-'))
  whole = join(folder, 'whole')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Tables from several lives, compressed blocks and others, and a log with records longer than its blocks. */
async function build(random: Prng): Promise<void> {
  for (let life = 0; life < 4; life++) {
    const engine = await openLevelEngine(whole, { clock: systemClock })
    for (let batch = 0; batch < 4; batch++)
      await engine.write(Array.from({ length: 60 }, () => ({ key: `e${random.below(500)}`, value: valueOf(random) })))
    await engine.close()
  }
}

function valueOf(random: Prng): Uint8Array | undefined {
  if (random.below(6) === 0) return undefined
  const bytes = Buffer.alloc(random.below(2_000), 'quorate ')
  for (let at = random.below(2) * bytes.length; at < bytes.length; at++) bytes[at] = random.below(256)
  return bytes
}

function copy(): string {
  const to = join(folder, 'copy')
  rmSync(to, { recursive: true, force: true })
  cpSync(whole, to, { recursive: true })
  return to
}

const filesOf = (pattern: RegExp): string[] => readdirSync(whole).filter(name => pattern.test(name))

describe('a database whose files are checked', () => {
  test('is whole as LevelDB wrote it, and has tables and a log', async () => {
    await build(createPrng(1))
    expect(filesOf(/\.ldb$/).length).toBeGreaterThan(0)
    expect(filesOf(/\.log$/)).toHaveLength(1)
    expect(await findLevelDamage(whole)).toBeUndefined()
    expect(await findLevelDamage(join(folder, 'nowhere'))).toBeUndefined()
  })

  test('shows every flipped bit of tables, MANIFEST and CURRENT, and of all but the last batch of the log', async () => {
    const random = createPrng(2)
    await build(random)
    const directory = copy()
    for (const name of filesOf(/\.(ldb|log)$|^MANIFEST|^CURRENT/)) {
      const original = readFileSync(join(whole, name))
      // The last batch of the newest log may be torn: nothing there is certain.
      const bound = name.endsWith('.log') ? original.length - 120_000 : original.length
      expect(bound).toBeGreaterThan(0)
      for (let trial = 0; trial < 150; trial++) {
        const at = random.below(bound)
        const flipped = Buffer.from(original)
        flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8))
        writeFileSync(join(directory, name), flipped)
        const problem = await findLevelDamage(directory)
        expect(problem, `${name}, byte ${at} of ${original.length}`).toBeDefined()
      }
      writeFileSync(join(directory, name), original)
    }
    expect(await findLevelDamage(directory)).toBeUndefined()
  })

  test('takes a log that ends anywhere: a kill leaves that; and an end of which pages are missing: a power cut does', async () => {
    const random = createPrng(3)
    await build(random)
    const directory = copy()
    const name = must(filesOf(/\.log$/)[0])
    const original = readFileSync(join(whole, name))
    for (let trial = 0; trial < 50; trial++) {
      writeFileSync(join(directory, name), original)
      truncateSync(join(directory, name), random.below(original.length))
      expect(await findLevelDamage(directory)).toBeUndefined()
    }
    for (let at = original.length - 30_000; at < original.length; at += 4_096)
      if (random.below(2) === 0) original.fill(0, at, Math.min(at + 4_096, original.length))
    writeFileSync(join(directory, name), original)
    expect(await findLevelDamage(directory)).toBeUndefined()
  })

  test('is missed where CURRENT is gone, and not where it was never finished', async () => {
    await build(createPrng(4))
    const directory = copy()
    rmSync(join(directory, 'CURRENT'))
    expect((await findLevelDamage(directory))?.file).toBe(join(directory, 'CURRENT'))
    for (const name of readdirSync(directory)) rmSync(join(directory, name))
    writeFileSync(join(directory, 'MANIFEST-000001'), 'begun')
    expect(await findLevelDamage(directory)).toBeUndefined()
  })
})

test("CRC-32C agrees with the standard's examples, and masked with LevelDB's", () => {
  expect(crc32c(Buffer.from('123456789'), 0, 9)).toBe(0xe3069283)
  expect(crc32c(Buffer.alloc(32), 0, 32)).toBe(0x8a9136aa)
  expect(crc32c(Buffer.alloc(32, 0xff), 0, 32)).toBe(0x62a8ab43)
  const crc = 0xe3069283
  expect(maskedCrc32c(Buffer.from('123456789'), 0, 9)).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0)
})
