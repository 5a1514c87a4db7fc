// What operators do while everything else happens: leadership handed over, a member replaced by a new store. The cluster
// may refuse; what it accepts must show.

import { must } from '../../../src/base/assert.ts'
import { type Claim, type Fault, isSound, leaderNow, pick, shuffled, soundNodes, type Stage } from './fault.ts'
import type { NodeProcess } from '../../support/node-process.ts'
import { until } from '../../support/until.ts'

const callMs = 3_000
const rejoinLimitMs = 60_000
/** Three election timeouts without a leader, and a leader to ask, with other troubles going on. */
const toldLimitMs = 20_000

const transfer: Fault = {
  name: 'leadership transferred',
  async plan(stage) {
    const { cluster, client } = stage
    const leader = await leaderNow(stage)
    const before = leader && (await cluster.viewOf(leader).catch(() => undefined))
    const target = soundNodes(stage).find(node => node !== leader)
    if (before === undefined || target === undefined || !stage.isFree('configuration')) return undefined
    /** It led, even if it does no longer. */
    const hasMoved = async (): Promise<boolean> => {
      const running = cluster.nodes.filter(node => node.isRunning)
      const views = await Promise.all(running.map(node => cluster.viewOf(node).catch(() => undefined)))
      return views.some(view => view !== undefined && view.term > before.term)
    }
    return {
      describe: `${before.leader} → ${target.name}`,
      claims: ['configuration'],
      impaired: [],
      lastsMaxMs: 0,
      async inject() {
        try {
          await client.admin.transferLeader(target.name, { timeoutMs: callMs })
          // Accepted where it led already, or where other troubles were quicker: nothing was done.
          await until('the term moves on', hasMoved, { limitMs: callMs })
          return true
        } catch {
          return false
        }
      },
      verify: hasMoved,
      async heal() {},
    }
  },
}

async function recordAtLeader(stage: Stage, name: string) {
  const leader = await leaderNow(stage)
  const { nodes } = must(await leader?.client.status(true), 'no leader')
  return nodes.find(node => node.record?.id === name)?.record
}

/** In hex; undefined when no leader is known or it does not know the node. */
async function storeIdAtLeader(stage: Stage, name: string): Promise<string | undefined> {
  const record = await recordAtLeader(stage, name)
  return record?.storeId ? Buffer.from(record.storeId).toString('hex') : undefined
}

async function isVoter(stage: Stage, name: string): Promise<boolean> {
  const leader = await leaderNow(stage)
  const view = leader && (await stage.cluster.viewOf(leader))
  return view?.voters.includes(name) ?? false
}

/**
 * Removed by an operator first, or just gone and back with an empty disk. Its old store is lost either way, with all that it
 * acknowledged: so only one at a time, only while all vote, and nobody else before it votes again.
 */
const replace: Fault = {
  name: 'member replaced',
  async plan(stage) {
    const { cluster, client } = stage
    const leader = await leaderNow(stage)
    const before = leader && (await cluster.viewOf(leader).catch(() => undefined))
    const victim = shuffled(stage.prng, cluster.nodes).find(node => isSound(stage, node))
    if (before === undefined || victim === undefined || !stage.isFree('configuration')) return undefined
    const { name } = victim
    if (before.voters.length < cluster.nodes.length) return undefined
    const formerStore = await storeIdAtLeader(stage, name).catch(() => undefined)
    if (formerStore === undefined) return undefined
    const isRemoved = pick(stage.prng, [true, false])
    return {
      describe: `${name}, ${isRemoved ? 'removed, wiped' : 'wiped'}, and back`,
      claims: ['configuration', `process:${name}`],
      impaired: [name],
      lastsMaxMs: 0,
      showsWithinMs: 30_000,
      async inject() {
        // Refused or in doubt, the rest is as sound: the leader removes the former store when the new one joins.
        if (isRemoved) await client.admin.removeMember(name, { timeoutMs: callMs }).catch(() => {})
        await victim.kill()
        victim.wipe()
        victim.start()
        return true
      },
      async verify() {
        const store = await storeIdAtLeader(stage, name)
        return store !== undefined && store !== formerStore
      },
      heal: () =>
        untilItVotes(stage, victim, async () => {
          // A removal that was in doubt may have come late: then it was the new store that was told to go.
          victim.wipe()
        }),
    }
  },
}

/** A node that has ended is made ready and started; by hand it is promoted, as an operator would, but the cluster may be quicker. */
async function untilItVotes(stage: Stage, victim: NodeProcess, prepare: () => Promise<void>): Promise<void> {
  const { name } = victim
  await until(
    `${name} votes again`,
    async () => {
      if (!victim.isRunning) {
        await prepare()
        victim.start()
      }
      if (await isVoter(stage, name)) return true
      await stage.client.admin.promoteMember(name, { timeoutMs: callMs }).catch(() => {})
      return false
    },
    { limitMs: rejoinLimitMs, intervalMs: 200 },
  )
}

/** It ends by itself, and again when it is started as it is, until an operator lets it back in. */
const readmit: Fault = {
  name: 'member removed, and let back in',
  async plan(stage) {
    const { cluster, client } = stage
    const leader = await leaderNow(stage)
    const before = leader && (await cluster.viewOf(leader).catch(() => undefined))
    const victim = shuffled(stage.prng, cluster.nodes).find(node => isSound(stage, node))
    if (before === undefined || victim === undefined || !stage.isFree('configuration')) return undefined
    if (before.voters.length < cluster.nodes.length) return undefined
    const { name } = victim
    return {
      describe: name,
      claims: ['configuration', `process:${name}`],
      impaired: [name],
      lastsMaxMs: 0,
      showsWithinMs: 30_000,
      async inject() {
        try {
          await client.admin.removeMember(name, { timeoutMs: callMs })
        } catch {
          // Refused while others are down, or in doubt.
          return false
        }
        await until(`${name} is told and ends`, () => !victim.isRunning, { limitMs: toldLimitMs })
        victim.start()
        return true
      },
      verify: async () =>
        !victim.isRunning && victim.logTail().includes(`of ${name} was removed`) && !(await isVoter(stage, name)),
      heal: () =>
        untilItVotes(stage, victim, async () => {
          await client.admin.addMember(name, '', { timeoutMs: callMs }).catch(() => {})
        }),
    }
  },
}

/** Restarted where other nodes reach it under another address: it has to tell its cluster, whatever else is going on. */
const move: Fault = {
  name: 'node moved',
  async plan(stage) {
    const { cluster } = stage
    const victim = shuffled(stage.prng, cluster.nodes).find(node => isSound(stage, node))
    if (victim === undefined) return undefined
    const { name } = victim
    const links = cluster.linksTo(name).map((link): Claim => `link:${link.name}`)
    const isKilled = pick(stage.prng, [true, false])
    return {
      describe: `${name}, ${isKilled ? 'killed' : 'drained'} first`,
      // A record is written in its turn: a member that is being replaced would hold it up.
      claims: ['configuration', `process:${name}`, ...links],
      impaired: [name],
      lastsMaxMs: 0,
      showsWithinMs: 30_000,
      async inject() {
        await (isKilled ? victim.kill() : victim.terminate())
        await cluster.moveNode(name)
        victim.start()
        return true
      },
      async verify() {
        return (await recordAtLeader(stage, name))?.peerAddress === victim.place.peer
      },
      heal: () => victim.untilLive(),
    }
  },
}

export const administration: readonly Fault[] = [transfer, replace, readmit, move]
