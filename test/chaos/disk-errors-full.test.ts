// Full disks for real: nodes live on small file systems, which are filled up under load. What adds data is refused before a
// write can fail; reads and deletions go on; it ends by itself when there is room; a node starts in what room there is.

import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Client, KvError, connect } from '../../src/client/client.ts'
import { discrepancies, Load } from '../support/load.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { until } from '../support/until.ts'

const mebibyte = 1024 * 1024
const diskBytes = 48 * mebibyte
const segmentBytes = mebibyte
/** 5 % of the file system each. */
const ballastBytes = Math.floor(diskBytes * 0.05)
const reserveBytes = ballastBytes
const hardBytes = 2 * segmentBytes
const flags = [
  ...['--set', `logSegmentBytes=${segmentBytes}`, '--set', 'engineFlushMs=1000'],
  ...['--set', 'diskBallastBytes=268435456'],
]
const limits = { limitMs: 20_000, intervalMs: 50 }

async function stateOf(client: Client, name: string): Promise<string | undefined> {
  const { nodes } = await client.admin.status({ timeoutMs: 3_000 })
  return nodes.find(({ id }) => id === name)?.disk
}

async function untilBallast(disk: SmallDisk): Promise<string> {
  const ballast = join(disk.path, 'data', 'ballast')
  await until('the ballast is whole', () => existsSync(ballast) && statSync(ballast).size >= ballastBytes, limits)
  return ballast
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => (error instanceof KvError ? error.code : String(error)),
  )
}

describe('one node of three', () => {
  let disk: SmallDisk
  let cluster: ProcessCluster
  beforeAll(async () => {
    disk = await SmallDisk.mount(diskBytes)
    cluster = await ProcessCluster.start({
      size: 3,
      proxied: false,
      electionTimeoutMs: 300,
      flags,
      peculiar: name => (name === 'n3' ? { data: join(disk.path, 'data') } : {}),
    })
  })
  afterAll(async () => {
    await cluster?.close()
    await disk?.close()
  })

  test('that leads hands over, takes nothing while it is full, goes on running, and catches up when there is room', async () => {
    const client = connect(cluster.url)
    const victim = cluster.node('n3')
    const ballast = await untilBallast(disk)
    await client.admin.transferLeader('n3')
    await until('the victim leads', async () => (await cluster.leader()) === victim, limits)

    const load = Load.start(cluster.url)
    try {
      await load.progress(100)
      disk.fill(hardBytes / 2)
      await until('the victim says so', async () => (await stateOf(client, 'n3')) === 'full', limits)
      await until('another leads', async () => (await cluster.leader()) !== victim, limits)
      await load.progress(200)
      expect(victim.isRunning).toBe(true)
      expect(existsSync(ballast)).toBe(false)

      disk.free()
      await until('it has room again', async () => (await stateOf(client, 'n3')) === 'ok', limits)
      await cluster.untilHealthy()
      await load.progress(20)
    } finally {
      await load.stop()
      client.close()
    }
    await cluster.untilHealthy()
    expect(load.acknowledged.size).toBeGreaterThan(300)
    expect(await discrepancies(cluster, load)).toEqual([])
  })
})

describe('a cluster of one', () => {
  let disk: SmallDisk
  let cluster: ProcessCluster
  let client: Client
  beforeAll(async () => {
    disk = await SmallDisk.mount(diskBytes)
    cluster = await ProcessCluster.start({
      size: 1,
      proxied: false,
      electionTimeoutMs: 300,
      flags,
      peculiar: () => ({ data: join(disk.path, 'data') }),
    })
    client = connect(cluster.url, { timeoutMs: 5_000 })
  })
  afterAll(async () => {
    client?.close()
    await cluster?.close()
    await disk?.close()
  })

  test('refuses what adds data, then everything, by name; reads go on; a restart has room; it ends by itself', async () => {
    const node = cluster.node('n1')
    for (let at = 0; at < 50; at++) await client.put(`k${at}`, 'v'.repeat(100))

    await untilBallast(disk)
    disk.fill(hardBytes + reserveBytes / 2)
    await until('it is low', async () => (await stateOf(client, 'n1')) === 'low', limits)
    expect(await codeOf(client.put('new', '1'))).toBe('disk-full')
    expect(await codeOf(client.commit({ then: [{ put: 'new', value: '1' }] }))).toBe('disk-full')
    expect(await codeOf(client.delete('k0'))).toBe('done')
    expect(await codeOf(client.commit({ then: [{ delete: 'k1' }] }))).toBe('done')
    // Of one tick, and of one batch.
    const both = await Promise.all([codeOf(client.put('new', '1')), codeOf(client.delete('k2'))])
    expect(both).toEqual(['disk-full', 'done'])
    expect(await client.getText('k3')).toBe('v'.repeat(100))
    expect(await client.getText('k0')).toBeUndefined()

    disk.fill()
    await until('it is full', async () => (await stateOf(client, 'n1')) === 'full', limits)
    expect(await codeOf(client.put('new', '1'))).toBe('disk-full')
    expect(await codeOf(client.delete('k4'))).toBe('disk-full')
    expect(await client.getText('k4')).toBe('v'.repeat(100))

    await node.kill()
    node.start()
    await until('it reads again', async () => (await codeOf(client.getText('k4'))) === 'done', limits)
    expect(await client.getText('k4')).toBe('v'.repeat(100))
    expect(await client.getText('k2')).toBeUndefined()
    expect(await codeOf(client.put('new', '1'))).toBe('disk-full')

    disk.free()
    await until('it takes writes again', async () => (await codeOf(client.put('new', '1'))) === 'done', limits)
    expect(await codeOf(client.delete('k4'))).toBe('done')
  })
})
