// What operators ask of a cluster. Changes go to the leader; `init` goes to one node only, because a second one that
// obeyed, too, would be a second cluster.

import { KvError } from '../base/errors.ts'
import type { quorate } from '../proto/quorate.js'
import { callWithRetries } from './calls.ts'
import type { Cluster } from './cluster.ts'
import { type CallOptions, type MethodName, checkCallOptions, checkName, noOptions } from './options.ts'
import {
  checksumMethod,
  initMethod,
  memberAddMethod,
  memberPromoteMethod,
  memberRemoveMethod,
  nodesMethod,
  statusMethod,
  transferLeaderMethod,
} from './wire.ts'

const diskStates = ['ok', 'low', 'full'] as const

export interface NodeInfo {
  /** The node's name, such as n1. */
  readonly id: string
  /** Where clients reach it. */
  readonly address: string
  readonly peerAddress: string
  readonly httpAddress: string
  readonly live: boolean
  /** Free on the file system of its data; 0 unless it is live. */
  readonly freeBytes: number
  /** `low`: it takes deletions alone; `full`: no writes. Both end by themselves once there is room. */
  readonly disk: 'ok' | 'low' | 'full' | 'unknown'
  readonly storeId: string
  readonly labels: readonly string[]
  readonly software: string
}

export type ReplicaRole = 'voter' | 'learner' | 'voter-incoming' | 'voter-outgoing' | 'unknown'

export interface ReplicaInfo {
  readonly node: string
  readonly replicaId: number
  readonly role: ReplicaRole
  /** `applied` and `hash` are the replica's own answer. */
  readonly reachable: boolean
  readonly applied: number
  /** Running state hash at `applied`, in hex. */
  readonly hash: string
  /** The leader's view of how far the replica's log agrees. */
  readonly match: number
  readonly term: number
  /** Why it serves nothing, being quarantined; empty: it serves. */
  readonly trouble: string
  /** The newest entry of the log at which it was compared with the others, and most agreed with it; 0: none yet. */
  readonly compared: number
  /** How the newest comparison stands: `equal`, `could not compare with n3`, … */
  readonly comparison: string
}

export interface RangeInfo {
  readonly id: number
  /** The leader's node; empty: none known. */
  readonly leader: string
  readonly term: number
  readonly commit: number
  readonly generation: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly closed: number
  /** Of users. */
  readonly keyCount: number
  /** The cluster's own, such as the registry of its nodes. */
  readonly systemKeyCount: number
  readonly byteCount: number
  readonly replicas: readonly ReplicaInfo[]
  /** The last store that an operator removed from it, unless the node is back. */
  readonly removal: RemovalInfo | undefined
}

export interface RemovalInfo {
  readonly node: string
  readonly storeId: string
  readonly at: Date
  /** Voters that answered and have applied the configuration without it, of `voters`. */
  readonly appliedBy: number
  readonly voters: number
  /** A majority has: nobody counts on its vote any more, and the node may be switched off. */
  readonly mayBeTakenAway: boolean
}

/** What a change of members came to. */
export interface MemberChange {
  readonly replicas: readonly ReplicaInfo[]
  /** Of the node that was removed. */
  readonly removal: RemovalInfo | undefined
  /** It had been removed, and may come back: it joins once it is started, with its data directory as it is. */
  readonly readmitted: boolean
}

export interface ClusterStatus {
  /** In hex. */
  readonly clusterId: string
  readonly nodes: readonly NodeInfo[]
  readonly ranges: readonly RangeInfo[]
}

export interface ReplicaVerdict {
  readonly node: string
  readonly replicaId: number
  readonly equal: boolean
  /** `equal`, `differs: …` or `could not compare: …`, with what is done about it, or why. */
  readonly verdict: string
}

export interface ChecksumResult {
  /** The entry of the log as of which the replicas were compared. */
  readonly index: number
  /** All of them were, and agree. */
  readonly equal: boolean
  readonly replicas: readonly ReplicaVerdict[]
}

export interface InitResult {
  readonly clusterId: string
  readonly node: string
}

export interface StatusOptions extends CallOptions {
  /** Only what the node asked knows itself. */
  readonly local?: boolean | undefined
}

const lastRoundMs = 500

export class Admin {
  readonly #cluster: Cluster
  readonly #seeds: readonly string[]

  constructor(cluster: Cluster, seeds: readonly string[]) {
    this.#cluster = cluster
    this.#seeds = seeds
  }

  /** Nodes, ranges and replicas, as the leader sees them, or any node while there is none. */
  async status(options: StatusOptions = noOptions): Promise<ClusterStatus> {
    checkCallOptions('admin.status', options)
    const request = { local: options.local ?? false }
    const response = await callWithRetries(this.#cluster, statusMethod, request, 'leader', options)
    return {
      clusterId: hex(response.clusterId),
      nodes: response.nodes.map(nodeInfo),
      ranges: response.ranges.map(rangeInfo),
    }
  }

  async nodes(options: CallOptions = noOptions): Promise<readonly NodeInfo[]> {
    checkCallOptions('admin.nodes', options)
    const response = await callWithRetries(this.#cluster, nodesMethod, {}, 'any', options)
    return response.nodes.map(nodeInfo)
  }

  /**
   * Makes a cluster of the first address given to `connect`, once for all: every other node joins it. Refused with
   * `already-initialised` when any of the addresses belongs to a cluster. Never repeated: `unknown-outcome` means look.
   */
  async init(options: CallOptions = noOptions): Promise<InitResult> {
    checkCallOptions('admin.init', options)
    return this.#cluster.during(() => this.#init(options))
  }

  async #init(options: CallOptions): Promise<InitResult> {
    const timeoutMs = options.timeoutMs ?? this.#cluster.settings.timeoutMs
    const first = this.#seeds[0] ?? ''
    await Promise.all(this.#seeds.slice(1).map(address => this.#refuseMember(address, timeoutMs)))
    const connection = this.#cluster.connection(first)
    const call = { timeoutMs, signal: options.signal }
    const response = await connection.unary(initMethod, { header: { timeoutMs } }, call)
    return { clusterId: hex(response.clusterId), node: response.node }
  }

  async #refuseMember(address: string, timeoutMs: number): Promise<void> {
    try {
      const connection = this.#cluster.connection(address)
      const asked = await connection.unary(nodesMethod, {}, { timeoutMs: Math.min(timeoutMs, 1000) })
      if (asked.clusterId.length === 0) return
      throw new KvError('already-initialised', `${address} is a member of cluster ${hex(asked.clusterId)} already`)
    } catch (error) {
      // Whether it is down or not a member yet, it does not stand in the way.
      if (error instanceof KvError && error.code === 'already-initialised') throw error
    }
  }

  /**
   * Adds a waiting node as a learner; lets one that was removed come back. `peerAddress` where its peers reach it, when the
   * cluster does not know it yet.
   */
  addMember(node: string, peerAddress = '', options: CallOptions = noOptions): Promise<MemberChange> {
    return this.#change('admin.addMember', memberAddMethod, node, peerAddress, options)
  }

  /** Makes a learner that has caught up a voter. */
  promoteMember(node: string, options: CallOptions = noOptions): Promise<MemberChange> {
    return this.#change('admin.promoteMember', memberPromoteMethod, node, '', options)
  }

  /**
   * Its store stays out until `addMember`, however often the node is started. Refused with `conflict` while those who would be
   * left have no live majority.
   */
  removeMember(node: string, options: CallOptions = noOptions): Promise<MemberChange> {
    return this.#change('admin.removeMember', memberRemoveMethod, node, '', options)
  }

  /** To `node`, or to the most up-to-date voter. Returns the new leader's name. */
  async transferLeader(
    node = '',
    options: CallOptions & { readonly rangeId?: number | undefined } = noOptions,
  ): Promise<string> {
    checkCallOptions('admin.transferLeader', options)
    if (node !== '') checkName(node, 'admin.transferLeader: node')
    const request = { node, rangeId: options.rangeId ?? 1 }
    const response = await callWithRetries(this.#cluster, transferLeaderMethod, request, 'leader', options)
    return response.leader
  }

  /**
   * Has every replica read all its rows, as of one entry of the log, and says of each what came of it by `timeoutMs`. That takes as
   * long as reading all the data does. A replica that differs from most is quarantined and rebuilt.
   */
  async checksum(options: CallOptions & { readonly rangeId?: number } = noOptions): Promise<ChecksumResult> {
    checkCallOptions('admin.checksum', options)
    const { clock, settings } = this.#cluster
    const rangeId = options.rangeId ?? 1
    const deadlineMs = clock.monotonicMs() + (options.timeoutMs ?? settings.timeoutMs)
    let index = 0
    for (;;) {
      const timeoutMs = Math.max(1, Math.floor(deadlineMs - clock.monotonicMs()))
      const call = { ...options, timeoutMs }
      const response = await callWithRetries(this.#cluster, checksumMethod, { rangeId, index }, 'leader', call)
      index = response.index
      // Half a second before the end there is no time for another round.
      if (!response.complete && deadlineMs - clock.monotonicMs() > lastRoundMs) continue
      const replicas = response.replicas.map(({ node, replicaId, equal, verdict }) => ({
        node: node ?? '',
        replicaId: replicaId ?? 0,
        equal: equal ?? false,
        verdict: verdict ?? '',
      }))
      return { index, equal: replicas.every(({ equal }) => equal), replicas }
    }
  }

  async #change(
    name: MethodName,
    method: typeof memberAddMethod,
    node: string,
    peerAddress: string,
    options: CallOptions,
  ): Promise<MemberChange> {
    checkCallOptions(name, options)
    checkName(node, `${name}: node`)
    if (peerAddress !== '') checkName(peerAddress, `${name}: peerAddress`)
    const response = await callWithRetries(this.#cluster, method, { node, peerAddress }, 'leader', options)
    return {
      replicas: response.replicas.map(replicaInfo),
      removal: removalInfo(response.removal),
      readmitted: response.readmitted,
    }
  }
}

function hex(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex')
}

function nodeInfo(status: quorate.v1.NodeStatus.$Properties): NodeInfo {
  const record = status.record ?? {}
  return {
    id: record.id ?? '',
    address: record.clientAddress ?? '',
    peerAddress: record.peerAddress ?? '',
    httpAddress: record.httpAddress ?? '',
    live: status.live ?? false,
    freeBytes: status.freeBytes ?? 0,
    disk: diskStates.find(state => state === status.disk) ?? 'unknown',
    storeId: hex(record.storeId),
    labels: record.labels ?? [],
    software: status.software ?? '',
  }
}

const roles: readonly ReplicaRole[] = ['unknown', 'voter', 'learner', 'voter-incoming', 'voter-outgoing']

function replicaInfo(replica: quorate.v1.ReplicaStatus.$Properties): ReplicaInfo {
  return {
    node: replica.node ?? '',
    replicaId: replica.replicaId ?? 0,
    role: roles[replica.role ?? 0] ?? 'unknown',
    reachable: replica.reachable ?? false,
    applied: replica.applied ?? 0,
    hash: replica.hash ?? '',
    match: replica.match ?? 0,
    term: replica.term ?? 0,
    trouble: replica.trouble ?? '',
    compared: replica.compared ?? 0,
    comparison: replica.comparison ?? '',
  }
}

function removalInfo(removal: quorate.v1.IRemoval | null | undefined): RemovalInfo | undefined {
  if (!removal?.store) return undefined
  const { store } = removal
  return {
    node: store.node ?? '',
    storeId: hex(store.storeId),
    at: new Date(store.atMs ?? 0),
    appliedBy: removal.appliedBy ?? 0,
    voters: removal.voters ?? 0,
    mayBeTakenAway: removal.mayBeTakenAway ?? false,
  }
}

function rangeInfo(range: quorate.v1.RangeStatus.$Properties): RangeInfo {
  return {
    id: range.id ?? 0,
    leader: range.leader ?? '',
    term: range.term ?? 0,
    commit: range.commit ?? 0,
    generation: range.generation ?? 0,
    firstIndex: range.firstIndex ?? 0,
    lastIndex: range.lastIndex ?? 0,
    closed: range.closed ?? 0,
    keyCount: (range.keyCount ?? 0) - (range.systemKeyCount ?? 0),
    systemKeyCount: range.systemKeyCount ?? 0,
    byteCount: range.byteCount ?? 0,
    replicas: (range.replicas ?? []).map(replicaInfo),
    removal: removalInfo(range.removal),
  }
}
