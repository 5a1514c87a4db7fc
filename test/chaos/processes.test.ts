// Processes that die, stop and forget: SIGKILL of the leader, of everyone, a paused leader, a wiped disk.

import { expect } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { until } from '../support/until.ts'
import { chaosSuite } from './chaos-suite.ts'

chaosSuite('processes', {}, ({ scenario }) => {
  scenario('a leader killed under load is replaced, and nothing acknowledged is lost', async ({ cluster, load }) => {
    for (let turn = 0; turn < 2; turn++) {
      const old = await cluster.leader()
      await old.kill()
      expect(old.isRunning).toBe(false)
      await load.progress(30)
      expect(await cluster.leader(cluster.others(old.name))).not.toBe(old)
      old.start()
      await cluster.untilHealthy()
    }
  })

  scenario('a leader that stops and comes back finds itself replaced', async ({ cluster, load }) => {
    const old = await cluster.leader()
    const before = must(await cluster.viewOf(old))
    const others = cluster.others(old.name)
    old.pause()
    await until('another leader', async () => (await cluster.leader(others)) !== old)
    await load.progress(30)
    old.resume()
    const seen = await until('the old leader knows', async () => {
      const view = await cluster.viewOf(old)
      return view !== undefined && view.term > before.term ? view : undefined
    })
    expect(seen.leader).not.toBe(old.name)
  })

  scenario('a node whose disk was wiped joins anew and votes again', async ({ cluster, load }) => {
    const victim = must(cluster.others((await cluster.leader()).name)[0])
    const storeId = async () => {
      const { nodes } = await (await cluster.leader()).client.status(false)
      const record = must((nodes ?? []).find(node => node.record?.id === victim.name)?.record)
      return Buffer.from(must(record.storeId)).toString('hex')
    }
    const before = await storeId()
    await victim.kill()
    victim.wipe()
    await load.progress(30)
    victim.start()
    await cluster.untilHealthy(30_000)
    expect(await storeId()).not.toBe(before)
  })

  scenario('everyone killed at once under load comes back with everything', async ({ cluster, load }) => {
    await Promise.all(cluster.nodes.map(node => node.kill()))
    expect(cluster.nodes.filter(node => node.isRunning)).toEqual([])
    for (const node of cluster.nodes) node.start()
    await cluster.untilHealthy(30_000)
    await load.progress(30)
  })
})
