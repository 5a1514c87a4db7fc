// The Admin service: discovery, status, members, leadership. Calls that only a leader can serve are answered with its
// address by every other node, and the caller follows.

import type { Server } from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'
import { type NodeId, asIndex, asNodeId, asRangeId } from '../base/ids.ts'
import { collectRangeStatus, removalOf, replicasOf } from '../gateway/cluster-status.ts'
import type { ClusterView, PeerClient } from '../gateway/cluster-view.ts'
import { adminAnswerToError } from '../gateway/refusal-error.ts'
import { parseHeader } from '../gateway/request-header.ts'
import { quorate } from '../proto/quorate.js'
import type { AdminAnswer, LocalStore } from '../range/local-store.ts'
import type { HybridClock } from '../time/hybrid-clock.ts'
import { type HandlerContext, unary } from './handler.ts'
import { type Codec, defineMethod } from './method.ts'

const { v1 } = quorate
/** A call for a checksum answers by then, with what is known. */
const checksumWaitMs = 30_000

function method<Request, Response>(name: string, request: Codec<Request>, response: Codec<Response>) {
  return defineMethod<Request, Response>(`/quorate.v1.Admin/${name}`, request, response)
}

export const adminService = {
  Init: method<quorate.v1.IInitRequest, quorate.v1.IInitResponse>('Init', v1.InitRequest, v1.InitResponse),
  Nodes: method<quorate.v1.INodesRequest, quorate.v1.INodesResponse>('Nodes', v1.NodesRequest, v1.NodesResponse),
  Status: method<quorate.v1.IStatusRequest, quorate.v1.IStatusResponse>('Status', v1.StatusRequest, v1.StatusResponse),
  MemberAdd: method<quorate.v1.IMemberRequest, quorate.v1.IMemberResponse>(
    'MemberAdd',
    v1.MemberRequest,
    v1.MemberResponse,
  ),
  MemberPromote: method<quorate.v1.IMemberRequest, quorate.v1.IMemberResponse>(
    'MemberPromote',
    v1.MemberRequest,
    v1.MemberResponse,
  ),
  MemberRemove: method<quorate.v1.IMemberRequest, quorate.v1.IMemberResponse>(
    'MemberRemove',
    v1.MemberRequest,
    v1.MemberResponse,
  ),
  TransferLeader: method<quorate.v1.ITransferLeaderRequest, quorate.v1.ITransferLeaderResponse>(
    'TransferLeader',
    v1.TransferLeaderRequest,
    v1.TransferLeaderResponse,
  ),
  Checksum: method<quorate.v1.IChecksumRequest, quorate.v1.IChecksumResponse>(
    'Checksum',
    v1.ChecksumRequest,
    v1.ChecksumResponse,
  ),
}

export interface AdminOptions {
  readonly store: LocalStore
  readonly peers: PeerClient
  readonly view: ClusterView
  readonly hybridClock: HybridClock
}

export function addAdminService(server: Server, context: HandlerContext, options: AdminOptions): void {
  const { store, peers, view, hybridClock } = options
  const clusterIdBytes = (): Buffer => Buffer.from(view.clusterId() ?? '', 'hex')
  const header = (): quorate.v1.IResponseHeader => {
    const leader = store.leaderOf(asRangeId(1)) ?? ''
    return { now: hybridClock.peek(), node: store.node, leader, rangeId: 1 }
  }
  const addressOf = (node: NodeId): string =>
    view.nodes().find(status => status.record?.id === node)?.record?.clientAddress ?? ''
  const check = (answer: AdminAnswer): void => {
    if (answer.kind !== 'done') throw adminAnswerToError(answer, addressOf)
  }
  const member = async (request: quorate.v1.IMemberRequest, change: (node: NodeId) => Promise<AdminAnswer>) => {
    parseHeader(request.header, view.clusterId() === undefined ? undefined : clusterIdBytes())
    check(await change(parseNode(request.node)))
    return { header: header(), replicas: replicasOf(store) }
  }
  /** A store that was removed may come back; a node that waits is added. */
  const add = async (request: quorate.v1.IMemberRequest): Promise<quorate.v1.IMemberResponse> => {
    let readmitted = false
    const response = await member(request, async node => {
      const answer = await store.readmitMember(node)
      readmitted = answer.kind === 'done'
      if (answer.kind !== 'not-found') return answer
      const known = view.nodes().find(status => status.record?.id === node)?.record
      const peerAddress = request.peerAddress || known?.peerAddress || ''
      if (known === undefined && peerAddress === '') {
        throw new KvError('not-found', `no node ${node} is known: start it with --join, or name its peer address`)
      }
      return store.addMember({ ...known, id: node, peerAddress })
    })
    return { ...response, readmitted }
  }
  const remove = async (request: quorate.v1.IMemberRequest): Promise<quorate.v1.IMemberResponse> => {
    const response = await member(request, node => store.removeMember(node))
    const deadlineMs = context.clock.monotonicMs() + removalSpreadMs
    const removal = await removalOf({ store, peers, clock: context.clock }, parseNode(request.node), deadlineMs)
    return { ...response, removal: removal ?? null }
  }

  server.addService(adminService, {
    Init: unary<quorate.v1.IInitRequest, quorate.v1.IInitResponse>(context, 'init', async () => {
      const clusterId = await view.init()
      return { clusterId: Buffer.from(clusterId, 'hex'), node: store.node }
    }),
    // Discovery works before there is a cluster, and against a stranger's: the answer says which it is.
    Nodes: unary<quorate.v1.INodesRequest, quorate.v1.INodesResponse>(context, 'nodes', async () => ({
      header: header(),
      clusterId: clusterIdBytes(),
      nodes: [...view.nodes()],
    })),
    Status: unary<quorate.v1.IStatusRequest, quorate.v1.IStatusResponse>(context, 'status', async request => {
      const ranges = await collectRangeStatus({ store, peers, clock: context.clock }, request.local ?? false)
      return { header: header(), clusterId: clusterIdBytes(), nodes: [...view.nodes()], ranges }
    }),
    MemberAdd: unary<quorate.v1.IMemberRequest, quorate.v1.IMemberResponse>(context, 'member-add', add),
    MemberPromote: unary<quorate.v1.IMemberRequest, quorate.v1.IMemberResponse>(context, 'member-promote', request =>
      member(request, node => store.promoteMember(node)),
    ),
    MemberRemove: unary<quorate.v1.IMemberRequest, quorate.v1.IMemberResponse>(context, 'member-remove', remove),
    TransferLeader: unary<quorate.v1.ITransferLeaderRequest, quorate.v1.ITransferLeaderResponse>(
      context,
      'transfer-leader',
      async request => {
        parseHeader(request.header, view.clusterId() === undefined ? undefined : clusterIdBytes())
        const rangeId = asRangeId(request.rangeId || 1)
        const target = request.node ? parseNode(request.node) : undefined
        check(await store.transferLeader(rangeId, target))
        return { header: header(), leader: store.leaderOf(rangeId) ?? '' }
      },
    ),
    Checksum: unary<quorate.v1.IChecksumRequest, quorate.v1.IChecksumResponse>(context, 'checksum', async request => {
      const parsed = parseHeader(request.header, view.clusterId() === undefined ? undefined : clusterIdBytes())
      // Time is left to bring the answer: who asks again is told the rest.
      const waitMs = Math.min(parsed.timeoutMs || checksumWaitMs, checksumWaitMs) * 0.8
      const begun = request.index ? asIndex(request.index) : undefined
      const answer = await store.checksum(asRangeId(request.rangeId || 1), begun, context.clock.monotonicMs() + waitMs)
      if (answer.kind !== 'done') throw adminAnswerToError(answer, addressOf)
      const { index, isComplete, replicas } = answer
      const verdicts = replicas.map(({ node, replica, isEqual, verdict }) => ({
        node,
        replicaId: replica,
        equal: isEqual,
        verdict,
      }))
      return { header: header(), index, complete: isComplete, replicas: verdicts }
    }),
  })
}

/** How long the answer to a removal waits for a majority to apply it: that takes a round or two, or somebody is down. */
const removalSpreadMs = 2_000

const nodeName = /^[a-z0-9-]{1,63}$/

function parseNode(name: string | null | undefined): NodeId {
  if (name && nodeName.test(name)) return asNodeId(name)
  throw new KvError('invalid-argument', `a node's name is 1 to 63 of a-z, 0-9 and -, not ${JSON.stringify(name ?? '')}`)
}
