import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { expectRefusal, expectUnharmed, runQuorate, startQuorate } from './bad-input.ts'

describe('a node that cannot start says why, what to do, and harms nobody', () => {
  let nodes: LocalNodes
  /** n3's data directory as it was when it stopped. */
  let pristine: string
  beforeAll(async () => {
    nodes = await LocalNodes.cluster({ size: 3 })
    const client = nodes.client()
    for (let at = 0; at < 50; at++) await client.put(`key ${at}`, 'x'.repeat(1_000))
    await nodes.allVote()
    await nodes.stopNode('n3')
    pristine = join(nodes.folder, 'pristine')
    cpSync(nodes.dataOf('n3'), pristine, { recursive: true })
  }, 30_000)
  afterAll(() => nodes[Symbol.asyncDispose]())

  const damagedCopy = (damage: (path: string) => void): string => {
    const data = join(nodes.folder, 'damaged')
    rmSync(data, { recursive: true, force: true })
    cpSync(pristine, data, { recursive: true })
    damage(data)
    return data
  }
  const flip = (file: string, at: number): void => {
    const bytes = readFileSync(file)
    bytes[at] = must(bytes[at]) ^ 1
    writeFileSync(file, bytes)
  }
  const fileIn = (folder: string, prefix: string): string =>
    join(
      folder,
      must(
        readdirSync(folder)
          .sort()
          .find(name => name.startsWith(prefix)),
      ),
    )

  it('an unknown flag is wrong usage', async () => {
    const { code, err } = await runQuorate(['start', '--no-such-flag'])
    expect(err).toMatch(/unknown option '--no-such-flag'\s.*--help lists/s)
    expect(code).toBe(2)
  })

  it('bad addresses are wrong usage, all named at once', async () => {
    const { code, err } = await startQuorate({
      node: 'n9',
      listen: 'nowhere',
      join: '127.0.0.1:99999',
    })
    expect(err).toMatch(/--listen nowhere: an address is host:port, such as/)
    expect(err).toMatch(/--join 127\.0\.0\.1:99999: an address is host:port, such as/)
    expect(err).not.toMatch(/\n\s+at /)
    expect(code).toBe(2)
  })

  it.each(['listen', 'peer-listen', 'http-listen'])('a busy port of --%s is named, with its flag', async flag => {
    const busy = createServer().listen(0, '127.0.0.1')
    await once(busy, 'listening')
    const bound = busy.address()
    const address = `127.0.0.1:${bound !== null && typeof bound === 'object' ? bound.port : 0}`
    try {
      const data = join(nodes.folder, `busy-${flag}`)
      const ended = await startQuorate({
        ...nodes.flagsOf('n3'),
        join: [],
        data,
        [flag]: address,
      })
      expectRefusal(ended, new RegExp(`cannot listen for .* on ${address}: another process`), new RegExp(` --${flag} `))
    } finally {
      busy.close()
    }
    await expectUnharmed(nodes, 'n1', 'n2')
  })

  it('a second process on a directory in use is refused', async () => {
    const ended = await startQuorate({
      ...nodes.flagsOf('n3'),
      node: 'n1',
      data: nodes.dataOf('n1'),
    })
    expectRefusal(ended, /another process has this database open/, /Stop that node, or give this one a data directory/)
    await expectUnharmed(nodes, 'n1', 'n2')
  })

  it('the directory of another node is refused', async () => {
    const ended = await startQuorate({ ...nodes.flagsOf('n3'), node: 'n4' })
    expectRefusal(ended, /belongs to node n3, not to n4/, /--node n3, or give n4 a directory of its own/)
  })

  it('a directory of something else is refused and left alone', async () => {
    const data = join(nodes.folder, 'letters')
    mkdirSync(data)
    writeFileSync(join(data, 'letter.txt'), 'dear')
    const ended = await startQuorate({ ...nodes.flagsOf('n3'), data })
    expectRefusal(ended, /letter\.txt.*not a Quorate data directory/, /Give an empty directory with --data/)
    expect(readdirSync(data)).toEqual(['letter.txt'])
  })

  const wipe = /do not delete it/
  const away = /start the node with an empty one/
  it.each<readonly [string, (data: string) => void, RegExp, RegExp]>([
    [
      'a flipped byte in the identity',
      data => flip(join(data, 'identity.json'), 30),
      /identity\.json is damaged/,
      wipe,
    ],
    ['an empty identity', data => truncateSync(join(data, 'identity.json')), /identity\.json is damaged/, wipe],
    [
      'a flipped byte in the middle of the log',
      data => flip(fileIn(join(data, 'log'), '0'), 4096 + 100),
      /log is damaged: .* holds a flush that is not whole.*offset \d+/,
      wipe,
    ],
    [
      'a log segment cut short',
      data => truncateSync(fileIn(join(data, 'log'), '0'), 8192),
      /log is damaged: .* is 8192 bytes long instead of/,
      wipe,
    ],
    [
      'a log segment that is gone',
      data => rmSync(fileIn(join(data, 'log'), '0')),
      /log is damaged: .* is missing|log ends at flush 0/,
      wipe,
    ],
    ['garbage in CURRENT', data => writeFileSync(join(data, 'state/CURRENT'), 'garbage'), /database is damaged/, away],
    ['a MANIFEST that is gone', data => rmSync(fileIn(join(data, 'state'), 'MANIFEST')), /database is damaged/, away],
    [
      'a flipped byte in the MANIFEST',
      data => flip(fileIn(join(data, 'state'), 'MANIFEST'), 10),
      /database is damaged/,
      away,
    ],
  ])('%s is damage: refused, with what to do', async (_, damage, cause, remedy) => {
    const ended = await startQuorate({
      ...nodes.flagsOf('n3'),
      data: damagedCopy(damage),
    })
    expectRefusal(ended, cause, remedy)
    await expectUnharmed(nodes, 'n1', 'n2')
  })

  it('and after all that the node starts on its own directory, and agrees with the others', async () => {
    await nodes.startNode('n3')
    await nodes.allVote()
    await expectUnharmed(nodes)
  })
})
