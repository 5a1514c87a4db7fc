import { describe, expect, test } from 'vitest'
import { conclude, diagnose } from '../../src/cli/diagnosis.ts'
import type { ClusterStatus, NodeInfo, RangeInfo, ReplicaRole } from '../../src/client/client.ts'
import { startFakeKvCluster } from '../support/fake-kv-server.ts'

const names = ['n1', 'n2', 'n3', 'n4', 'n5']
const node = (id: string): NodeInfo => ({
  id,
  address: `${id}:7101`,
  peerAddress: '',
  httpAddress: '',
  live: true,
  storeId: '',
  labels: [],
  software: '',
  freeBytes: 0,
  disk: 'ok',
})

/** What a node knows of five, of which those in `learners` do not vote. */
function status(leader: string, learners: readonly string[] = []): ClusterStatus {
  const replicas = names.map((name, i) => ({
    node: name,
    replicaId: i + 1,
    role: (learners.includes(name) ? 'learner' : 'voter') as ReplicaRole,
    reachable: false,
    applied: 0,
    hash: '',
    match: 0,
    term: 1,
  }))
  const range = { id: 1, leader, term: 1, commit: 0, replicas } as unknown as RangeInfo
  return { clusterId: 'c', nodes: names.map(node), ranges: [range] }
}

const answers = (of: readonly string[], leader: string, learners?: readonly string[]): Map<string, ClusterStatus> =>
  new Map(of.map(name => [`${name}:7101`, status(leader, learners)]))

describe('what the answers of a cluster mean', () => {
  test.each<[string, Map<string, ClusterStatus>, string]>([
    ['nobody', new Map(), 'none of the 5 nodes answers'],
    [
      'a minority',
      answers(['n1', 'n2'], ''),
      '2 of 5 nodes answer, but have no quorum: 3 of 5 voters must, and n3, n4, n5 do not',
    ],
    ['a minority that remembers a leader', answers(['n1', 'n2'], 'n3'), '2 of 5 nodes answer, but have no quorum'],
    [
      'a majority of nodes, not of voters',
      answers(['n1', 'n4', 'n5'], '', ['n4', 'n5']),
      '3 of 5 nodes answer, but have no quorum: 2 of 3 voters must, and n2, n3 do not',
    ],
    ['a majority without a leader', answers(['n1', 'n2', 'n3'], ''), '3 of 5 nodes answer, but none of them leads'],
    [
      'a majority whose leader is silent',
      answers(['n1', 'n2', 'n3'], 'n5'),
      '3 of 5 nodes answer, but none of them leads',
    ],
    ['a leader among them', answers(names, 'n2'), '5 of 5 nodes answer, and n2 leads'],
  ])('%s', (_, given, text) => {
    expect(conclude(given, 5).text).toContain(text)
    expect(conclude(given, 5).answering).toBe(given.size)
  })

  test('they are asked of every node that any of them knows', async () => {
    await using cluster = await startFakeKvCluster(3)
    const { address } = cluster.node('n1')
    const { signal } = new AbortController()
    expect((await diagnose(`quorate://${address}`, signal)).text).toContain('3 of 3 nodes answer, and n1 leads')
    expect(await diagnose('quorate://127.0.0.1:1', signal)).toEqual({ answering: 0, text: 'the node does not answer' })
  })
})
