// Calls to other nodes that are answered, as a port: the gateway's, and asking to be let in.

import type { PeerClient } from '../gateway/cluster-view.ts'
import type { quorate } from '../proto/quorate.js'

/** Deadlines are of Clock.monotonicMs. */
export interface PeerCalls extends PeerClient {
  /** Our own Hello and clocks are filled in where the request has none. Rejects with KvError. */
  join(address: string, request: quorate.v1.IJoinRequest, deadlineMs: number): Promise<quorate.v1.IJoinResponse>
  /** The Hello of whoever answers at a peer address, of any cluster. Rejects with KvError when nobody does. */
  identify(address: string, deadlineMs: number): Promise<quorate.v1.IHello>
  close(): Promise<void>
}
