// A full disk for real: one node of three lives on a small file system, which is filled up under load.

import { join } from 'node:path'
import { readFileSync, statSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../src/client/client.ts'
import { discrepancies, Load } from '../support/load.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { until } from '../support/until.ts'

const victimName = 'n3'
const diskBytes = 48 * 1024 * 1024
/** Until the node next needs a block, at its next engine flush at the latest, then a second. */
const engineFlushMs = 1_000
const endsWithinMs = engineFlushMs + 1_000

let disk: SmallDisk
let cluster: ProcessCluster
beforeAll(async () => {
  disk = await SmallDisk.mount(diskBytes)
  cluster = await ProcessCluster.start({
    size: 3,
    proxied: false,
    electionTimeoutMs: 300,
    flags: ['--set', 'logSegmentBytes=1048576', '--set', `engineFlushMs=${engineFlushMs}`],
    peculiar: name => (name === victimName ? { data: join(disk.path, 'data') } : {}),
  })
})
afterAll(async () => {
  await cluster?.close()
  await disk?.close()
})

test.each(['follower', 'leader'] as const)(
  'a %s whose disk is full ends within a second and says why; the cluster goes on, and it comes back with everything',
  async role => {
    const victim = cluster.node(victimName)
    const client = connect(cluster.url)
    const isLeader = async () => (await cluster.leader()) === victim
    await client.admin.transferLeader(role === 'leader' ? victimName : 'n1')
    await until(`the victim is the ${role}`, async () => (await isLeader()) === (role === 'leader'))
    client.close()

    const load = Load.start(cluster.url)
    try {
      await load.progress(100)
      const logged = statSync(victim.logPath).size
      disk.fill()
      const filled = performance.now()
      await until('the victim has ended', () => !victim.isRunning, { limitMs: 10_000, intervalMs: 5 })
      expect(performance.now() - filled).toBeLessThan(endsWithinMs)
      expect(readFileSync(victim.logPath).subarray(logged).toString()).toMatch(/ENOSPC|No space left on device/)
      await load.progress(100)

      disk.free()
      victim.start()
      await cluster.untilHealthy()
      await load.progress(20)
    } finally {
      await load.stop()
    }
    await cluster.untilHealthy()
    expect(load.acknowledged.size).toBeGreaterThan(200)
    expect(await discrepancies(cluster, load)).toEqual([])
  },
)
