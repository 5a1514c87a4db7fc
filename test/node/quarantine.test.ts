// Real nodes on real LevelDB: tables that rot under a running node. The range keeps serving, and the replica is rebuilt by its
// peers, whether it followed or led.

import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync, readdirSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startAnew } from '../../src/base/remedies.ts'
import { quorate } from '../../src/proto/quorate.js'
import { LocalNodes } from '../support/local-nodes.ts'
import { NodeClient } from '../support/node-client.ts'
import { until } from '../support/until.ts'

const keyCount = 400
const keyOf = (at: number): string => `rot/${String(at).padStart(4, '0')}`
/** Nothing in them repeats, so that tables hold them as they are. */
const values = Array.from({ length: keyCount }, () => randomBytes(450).toString('base64'))

function tablesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ldb'))
    .map(entry => join(entry.parentPath, entry.name))
}

/** Flips a bit of the middle of every value of ours that stands in a table as it is; returns how many. */
function rot(folder: string): number {
  let flipped = 0
  for (const path of tablesOf(folder)) {
    const bytes = Buffer.alloc(statSync(path).size)
    const file = openSync(path, 'r+')
    readSync(file, bytes)
    for (let at = bytes.indexOf('rot/'); at >= 0; at = bytes.indexOf('rot/', at + 1)) {
      const middle = at + 60
      if (middle >= bytes.length) break
      writeSync(file, Buffer.of((bytes[middle] ?? 0) ^ 1), 0, 1, middle)
      flipped++
    }
    closeSync(file)
  }
  return flipped
}

test('tables that rot under a follower, and then under a leader, cost nobody an answer, and are replaced', async () => {
  // Small caches: what is asked for is read from the tables.
  const set = ['limit.engineFlushMs=50', 'limit.rowCacheBytes=1048576', 'limit.blockCacheBytes=1']
  await using nodes = await LocalNodes.cluster({ size: 3, flags: { set, 'election-timeout': '500' } })
  const client = nodes.client()
  await Promise.all(Array.from({ length: keyCount }, (_, at) => client.put(keyOf(at), values[at] as string)))
  // From LevelDB's log into tables, and out of all memory.
  for (const name of nodes.names) {
    await nodes.stopNode(name)
    await nodes.startNode(name)
  }
  await nodes.allVote()
  let refused: unknown
  let writes = 0
  const writing = (async () => {
    for (; writes >= 0 && refused === undefined; writes++)
      await client.put('busy', String(writes)).catch((error: unknown) => {
        refused = error
      })
  })()
  try {
    for (const isLeader of [false, true]) {
      const leader = (await client.admin.status()).ranges[0]?.leader ?? ''
      const sick = isLeader ? leader : (nodes.names.find(name => name !== leader) as string)
      expect(rot(nodes.dataOf(sick))).toBeGreaterThan(10)
      const node = new NodeClient(nodes.flagsOf(sick).listen as string)
      const isQuarantined = async (): Promise<boolean> => (await node.status(true)).ranges[0]?.trouble !== ''
      const wrong: string[] = []
      await until('it is noticed', async () => {
        for (let at = 0; at < keyCount; at++) {
          const value = await node.get(keyOf(at), quorate.v1.ReadKind.READ_KIND_STALE)
          if (value !== values[at]) wrong.push(keyOf(at))
          if (await isQuarantined()) return true
        }
        return false
      })
      expect(wrong).toEqual([])
      await until('it is rebuilt', async () => !(await isQuarantined()))
      await until('all are level', async () => {
        const replicas = (await client.admin.status()).ranges[0]?.replicas ?? []
        return replicas.every(replica => replica.reachable && replica.trouble === '' && replica.role === 'voter')
      })
      expect(await client.admin.checksum({ timeoutMs: 20_000 })).toMatchObject({ equal: true })
      node.close()
    }
  } finally {
    const done = writes
    writes = Number.NEGATIVE_INFINITY
    await writing
    expect(refused).toBeUndefined()
    expect(done).toBeGreaterThan(10)
  }
}, 90_000)

/** Makes blocks of ours undecodable: LevelDB cannot tell which keys were in them. */
function ruin(folder: string): number {
  let ruined = 0
  for (const path of tablesOf(folder)) {
    const bytes = Buffer.alloc(statSync(path).size)
    const file = openSync(path, 'r+')
    readSync(file, bytes)
    const at = bytes.indexOf('rot/')
    if (at >= 0) ruined += writeSync(file, Buffer.alloc(Math.min(8_192, bytes.length - at), 0xff), 0, undefined, at)
    closeSync(file)
  }
  return ruined
}

test('tables that cannot even be cleared end their node, which says what to do, as the next start does; nothing is lost', async () => {
  const set = ['limit.engineFlushMs=50', 'limit.rowCacheBytes=1048576', 'limit.blockCacheBytes=1']
  await using nodes = await LocalNodes.cluster({ size: 3, flags: { set, 'election-timeout': '500' } })
  const client = nodes.client()
  await Promise.all(Array.from({ length: keyCount }, (_, at) => client.put(keyOf(at), values[at] as string)))
  const leader = (await client.admin.status()).ranges[0]?.leader ?? ''
  const sick = nodes.names.find(name => name !== leader) as string
  await nodes.stopNode(sick)
  const running = await nodes.startNode(sick)
  await nodes.allVote()
  expect(ruin(nodes.dataOf(sick))).toBeGreaterThan(0)
  const node = new NodeClient(nodes.flagsOf(sick).listen as string)
  const reading = (async () => {
    for (let at = 0; at < keyCount; at++) await node.get(keyOf(at), quorate.v1.ReadKind.READ_KIND_STALE)
  })()
  const { code, reason } = await running.done
  await reading.catch(() => {})
  node.close()
  expect({ code, reason }).toEqual({ code: 1, reason: expect.stringContaining(startAnew) })
  await nodes.stopNode(sick)
  await expect(nodes.startNode(sick)).rejects.toMatchObject({
    code: 'data-directory',
    message: expect.stringContaining(startAnew),
  })
  const found = await Promise.all(Array.from({ length: keyCount }, (_, at) => client.get(keyOf(at))))
  expect(found.map(value => Buffer.from(value ?? []).toString())).toEqual(values)
  // What it says.
  renameSync(nodes.dataOf(sick), `${nodes.dataOf(sick)}-aside`)
  await nodes.startNode(sick)
  await nodes.allVote()
  expect(await client.admin.checksum({ timeoutMs: 20_000 })).toMatchObject({ equal: true })
}, 90_000)
