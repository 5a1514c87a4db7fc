// Links between nodes that carry nothing, in every shape: pairs, one way, islands, bridges, rings. A cut either drops the
// bytes and resets the connections when it heals, or holds them back and delivers them then. The effect: who should hear a
// node no longer counts it among the live.

import { must } from '../../../src/base/assert.ts'
import { bridgeShapes, connectedQuorums, mustElect, placed } from '../../support/cut-sets.ts'
import type { NodeProcess } from '../../support/node-process.ts'
import type { Cut, Direction } from '../../support/toxiproxy.ts'
import {
  type Claim,
  type Fault,
  isSound,
  leaderNow,
  type Plan,
  pick,
  shuffled,
  soundNodes,
  type Stage,
} from './fault.ts'

/** What `from` sends is not heard by `to`. */
interface Loss {
  readonly from: string
  readonly to: string
}

interface Shape {
  readonly losses: readonly Loss[]
  readonly impaired: readonly string[]
}

function bothWays(left: readonly string[], right: readonly string[]): Loss[] {
  return left.flatMap(a =>
    right.flatMap(b => [
      { from: a, to: b },
      { from: b, to: a },
    ]),
  )
}

/** Undefined when the node does not answer. */
async function hears(node: NodeProcess, other: string): Promise<boolean | undefined> {
  const { nodes } = await node.client.status(true)
  return nodes.find(({ record }) => record?.id === other)?.live ?? undefined
}

function partition(name: string, draw: (stage: Stage) => Promise<Shape | undefined>): Fault {
  return {
    name,
    async plan(stage) {
      const shape = await draw(stage)
      return shape && cutPlan(stage, shape, pick<Cut>(stage.prng, ['drop', 'hold']))
    },
  }
}

async function cutPlan(stage: Stage, { losses, impaired }: Shape, how: Cut): Promise<Plan | undefined> {
  const { cluster, isFree } = stage
  const cuts = losses.flatMap(({ from, to }): { link: [string, string]; direction: Direction }[] => [
    { link: [from, to], direction: 'upstream' },
    { link: [to, from], direction: 'downstream' },
  ])
  const links = [...new Set(cuts.map(({ link: [from, to] }) => cluster.link(from, to)))]
  const claims = links.map((link): Claim => `link:${link.name}`)
  if (!claims.every(isFree)) return undefined
  // Who is silent already for another reason shows nothing.
  const observed: Loss[] = []
  for (const loss of losses) {
    if (!isSound(stage, cluster.node(loss.from)) || !isSound(stage, cluster.node(loss.to))) continue
    if (await hears(cluster.node(loss.to), loss.from).catch(() => false)) observed.push(loss)
  }
  if (observed.length === 0) return undefined
  return {
    describe: `${how} ${losses.map(({ from, to }) => `${from}→${to}`).join(' ')}`,
    claims,
    impaired,
    async inject() {
      await Promise.all(cuts.map(({ link: [from, to], direction }) => cluster.link(from, to).cut(how, [direction])))
      return true
    },
    async verify() {
      const seen = await Promise.all(observed.map(({ from, to }) => hears(cluster.node(to), from)))
      return seen.every(isHeard => isHeard === false)
    },
    async heal() {
      await Promise.all(links.map(link => link.heal()))
    },
  }
}

const allNames = (stage: Stage): string[] =>
  shuffled(
    stage.prng,
    stage.cluster.nodes.map(node => node.name),
  )

const pair = partition('cut both ways', async stage => {
  const [a, b] = soundNodes(stage)
  if (a === undefined || b === undefined) return undefined
  return { losses: bothWays([a.name], [b.name]), impaired: [a.name] }
})

const oneWay = partition('loss one way', async stage => {
  const [a, b] = soundNodes(stage)
  if (a === undefined || b === undefined) return undefined
  return { losses: [{ from: a.name, to: b.name }], impaired: [a.name] }
})

/** Two or three pairs among at most four nodes, so that a clique of three remains with the fifth. */
const partial = partition('partial partition', async stage => {
  const [a = '', b = '', c = '', d = ''] = allNames(stage)
  const losses = [...bothWays([a], [b, c]), ...(stage.prng.below(2) === 0 ? bothWays([d], [b]) : [])]
  return { losses, impaired: losses.length > 4 ? [a, b] : [a] }
})

const bridge = partition('bridge', async stage => {
  const topology = pick(stage.prng, bridgeShapes)
  const names = stage.cluster.nodes.map(node => node.name)
  const places = shuffled(
    stage.prng,
    names.map((_, place) => place),
  )
  const cutSet = placed(topology, places)
  const losses = cutSet.cuts.map(({ from, to }) => ({ from: must(names[from]), to: must(names[to]) }))
  // Where no hub can be sure to be elected it counts as if there were no quorum; else as if two were away.
  const hubs = connectedQuorums(cutSet).map(({ hub }) => hub)
  const others = places.filter(place => !hubs.includes(place)).map(place => must(names[place]))
  return { losses, impaired: mustElect(cutSet) ? others.slice(0, 2) : names }
})

const split = partition('majority and minority', async stage => {
  const names = allNames(stage)
  const minority = names.slice(0, Math.floor((names.length - 1) / 2))
  return { losses: bothWays(minority, names.slice(minority.length)), impaired: minority }
})

async function leaderAndOthers(stage: Stage): Promise<{ leader: string; others: string[] } | undefined> {
  const leader = await leaderNow(stage)
  if (leader === undefined || !isSound(stage, leader)) return undefined
  return { leader: leader.name, others: stage.cluster.others(leader.name).map(node => node.name) }
}

const isolatedLeader = partition('leader isolated', async stage => {
  const who = await leaderAndOthers(stage)
  return who && { losses: bothWays([who.leader], who.others), impaired: [who.leader] }
})

const muteLeader = partition('leader not heard', async stage => {
  const who = await leaderAndOthers(stage)
  return who && { losses: who.others.map(to => ({ from: who.leader, to })), impaired: [who.leader] }
})

const deafLeader = partition('leader hears nobody', async stage => {
  const who = await leaderAndOthers(stage)
  return who && { losses: who.others.map(from => ({ from, to: who.leader })), impaired: [who.leader] }
})

export const partitions: readonly Fault[] = [
  pair,
  oneWay,
  partial,
  bridge,
  split,
  isolatedLeader,
  muteLeader,
  deafLeader,
]
