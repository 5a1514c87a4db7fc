// A fleet of clients that connects at once, as after a deployment: CROWD_PROCESSES=4 times CROWD_CLIENTS=250 clients,
// CROWD_NODES=3 nodes, each client served within CROWD_SECONDS=15. Two thousand on two cores, with nothing
// else running: CROWD_CLIENTS=500 CROWD_NODES=5 CROWD_SECONDS=10 make test-chaos ONLY=test/chaos/many-clients.test.ts

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { numberOf } from '../support/environment.ts'
import { ProcessCluster } from '../support/process-cluster.ts'
import { Crowd, type CrowdReport } from './crowd.ts'

const processes = numberOf('CROWD_PROCESSES', 4, 1)
const clientsEach = numberOf('CROWD_CLIENTS', 250, 1)
const nodes = numberOf('CROWD_NODES', 3, 3)
const limitMs = numberOf('CROWD_SECONDS', 15, 1) * 1000
const all = processes * clientsEach
/** One to the first node that it asked, one to the leader, and now and then one more. */
const connectionsEachMax = 3

let cluster: ProcessCluster
let crowd: Crowd

beforeAll(async () => {
  cluster = await ProcessCluster.start({ size: nodes, proxied: false })
  crowd = await Crowd.start(cluster.url, processes, clientsEach)
}, 90_000)
afterAll(async () => {
  await crowd?.[Symbol.asyncDispose]()
  await cluster?.close()
})

/** Connections of clients that stand, at all nodes. */
function connections(): number {
  const ports = new Set(cluster.nodes.map(node => Number(node.place.client.split(':')[1])))
  const established = '01'
  const rows = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)
  return rows.filter(row => {
    const [, local = '', , state] = row.trim().split(/\s+/)
    return state === established && ports.has(Number.parseInt(local.split(':')[1] ?? '', 16))
  }).length
}

function expectAllServed(what: string, { tookMs, failures, cpuMs, residentBytes }: CrowdReport): void {
  const at = (part: number): number => Math.round(tookMs[Math.floor(part * (tookMs.length - 1))] ?? 0)
  console.log(
    `${what}: ${tookMs.length} of ${all} served, p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms; clients' CPU ` +
      `${Math.round(cpuMs)} ms, memory ${Math.round(residentBytes / 2 ** 20)} MiB; ${connections()} connections`,
  )
  expect(failures).toEqual([])
  expect(tookMs.length).toBe(all)
  expect(must(tookMs.at(-1))).toBeLessThan(limitMs)
}

test(`${all} clients that connect at once are all served, over few connections`, async () => {
  expectAllServed('first', await crowd.round(limitMs))
  expect(connections()).toBeLessThanOrEqual(all * connectionsEachMax)
}, 60_000)
