// What the gateway and the services need of the node around them, beside its LocalStore.

import type { ClusterId, NodeId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'

/**
 * Sends requests to other nodes' gateways, on streams of their own. Implemented by src/transport.
 * `deadlineMs` is an instant of Clock.monotonicMs, as in LocalStore, not a duration.
 */
export interface PeerClient {
  /** Rejects with KvError: `unavailable` when it was certainly not sent, `unknown-outcome` when it may have been. */
  forward(to: NodeId, request: quorate.v1.IBatchRequest, deadlineMs: number): Promise<quorate.v1.IBatchResponse>
  peerStatus(to: NodeId, deadlineMs: number): Promise<quorate.v1.IPeerStatusResponse>
}

export interface ClusterView {
  readonly node: NodeId
  clusterId(): ClusterId | undefined
  /** Every known node and whether it is live. */
  nodes(): readonly quorate.v1.INodeStatus[]
  /** Makes this node the only voter of a new cluster. Throws KvError `already-initialised`. */
  init(): Promise<ClusterId>
}
