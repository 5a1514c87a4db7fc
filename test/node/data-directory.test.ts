import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { asClusterId, asNodeId } from '../../src/base/ids.ts'
import { DataDirectory } from '../../src/data-directory.ts'

let path: string
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'quorate-')), 'data')
})
afterEach(() => rmSync(join(path, '..'), { recursive: true, force: true }))
const n1 = asNodeId('n1')

describe('the data directory', () => {
  it('gives a new node a store id of its own, and keeps it', () => {
    const first = DataDirectory.open(path, n1).identity
    expect(first.storeId).toMatch(/^[0-9a-f]{32}$/)
    expect(DataDirectory.open(path, n1).identity).toEqual(first)
    expect(statSync(path).mode & 0o777).toBe(0o700)
  })

  it('keeps the cluster that it joined', () => {
    DataDirectory.open(path, n1).joinCluster(asClusterId('ab'.repeat(16)))
    expect(DataDirectory.open(path, n1).identity.clusterId).toBe('ab'.repeat(16))
  })

  it('refuses another node’s directory, and says whose it is', () => {
    DataDirectory.open(path, n1)
    expect(() => DataDirectory.open(path, asNodeId('n2'))).toThrow(/belongs to node n1/)
  })

  it('refuses a directory that is not its own', () => {
    writeFileSync(join(path, '..', 'letter.txt'), 'dear')
    expect(() => DataDirectory.open(join(path, '..'), n1)).toThrow(/letter\.txt.*not a Quorate data directory/)
  })

  it('refuses a file, and says that it is one', () => {
    writeFileSync(path, 'dear')
    expect(() => DataDirectory.open(path, n1)).toThrow(/data is a file, not a directory\. Give the path .* --data/)
    expect(() => DataDirectory.open(join(path, 'below'), n1)).toThrow(/data is a file, not a directory/)
  })

  it('makes its parents, private ones', () => {
    DataDirectory.open(join(path, 'b', 'c'), n1)
    for (const made of [path, join(path, 'b'), join(path, 'b', 'c')]) expect(statSync(made).mode & 0o777).toBe(0o700)
  })

  it.runIf(process.platform === 'linux')('gives up where no directory can be made, rather than try for ever', () => {
    expect(() => DataDirectory.open('/proc/nope/x', n1)).toThrow(/cannot make the data directory \/proc\/nope\/x/)
  })

  it('refuses an identity with one flipped bit, wherever it is', () => {
    DataDirectory.open(path, n1)
    const file = join(path, 'identity.json')
    const whole = readFileSync(file)
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped[at] = flipped[at]! ^ 1
      writeFileSync(file, flipped)
      expect(() => DataDirectory.open(path, n1), `byte ${at}`).toThrow(/damaged|format/)
    }
  })
})
