import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { asClusterId, asNodeId } from '../../src/base/ids.ts'
import { DataDirectory } from '../../src/data-directory.ts'

let path: string
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'quorate-')), 'data')
})
afterEach(() => rmSync(join(path, '..'), { recursive: true, force: true }))
const n1 = asNodeId('n1')

/** What a process that may do nothing with `closed`, and everything with all else, is told. Root may do everything: it steps down. */
async function messageAsNobody(directory: string, closed: string): Promise<string> {
  const program = `
    import { DataDirectory } from ${JSON.stringify(join(import.meta.dirname, '../../src/data-directory.ts'))}
    import { chmodSync, chownSync, readdirSync } from 'node:fs'
    const [directory, closed] = process.argv.slice(1)
    const everything = [directory, ...readdirSync(directory, { recursive: true }).map(name => directory + '/' + name)]
    if (process.getuid() === 0) {
      chmodSync(directory + '/..', 0o711)
      for (const path of everything) chownSync(path, 65534, 65534)
    }
    const target = closed === '.' ? directory : directory + '/' + closed
    chmodSync(target, 0)
    if (process.getuid() === 0) {
      process.setgroups([])
      process.setgid(65534)
      process.setuid(65534)
    }
    try { DataDirectory.open(directory, 'n1') } catch (error) { console.log(error.message) }
    finally { chmodSync(target, 0o700) }`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', program, directory, closed],
    { timeout: 10_000 },
  )
  return stdout
}

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

  it('takes a directory that a file system was mounted on, and places for disks of their own', () => {
    for (const part of ['lost+found', 'log/lost+found', 'state']) mkdirSync(join(path, part), { recursive: true })
    const { storeId } = DataDirectory.open(path, n1).identity
    expect(DataDirectory.open(path, n1).identity.storeId).toBe(storeId)
  })

  it('refuses a log or a state without an identity', () => {
    mkdirSync(join(path, 'log'), { recursive: true })
    writeFileSync(join(path, 'log', '00000001.segment'), 'bytes')
    expect(() => DataDirectory.open(path, n1)).toThrow(/holds log but no identity\.json/)
  })

  it.each([
    ['the directory', '.'],
    ['its identity', 'identity.json'],
    ['the log', 'log'],
    ['a segment', 'log/00000001.segment'],
    ['the state', 'state'],
    ['a file of values', 'state/values/1.values'],
  ])('never calls %s damaged that it may not read', async (_what, closed) => {
    DataDirectory.open(path, n1)
    mkdirSync(join(path, 'log'))
    mkdirSync(join(path, 'state', 'values'), { recursive: true })
    for (const file of ['log/00000001.segment', 'state/values/1.values']) writeFileSync(join(path, file), '')
    const message = await messageAsNobody(path, closed)
    expect(message).toMatch(/cannot be read and written .*Nothing is known to be damaged\. .*chown/)
    expect(message).toContain(join(path, closed === '.' ? '' : closed).replace(/\/$/, ''))
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
