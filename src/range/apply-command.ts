// One committed command goes to the state of its replica.

import { type ApplyResult, applyEntry } from '../command/apply.ts'
import type { Entry } from '../raft/types.ts'
import type { PendingWrite } from './proposals.ts'
import type { Replica } from './replica.ts'
import type { ReplicaHost } from './replica-host.ts'

/** `writes`: those that the entry was made of here, decoded already. Throws on what it does not know. */
export function applyCommand(
  host: ReplicaHost,
  replica: Replica,
  { index, term, data }: Entry,
  writes: readonly PendingWrite[] | undefined,
): ApplyResult | Promise<ApplyResult> {
  const context = {
    state: replica.state,
    versions: host.versions,
    turn: host.applyTurn,
    onSystemWrite: (key: Uint8Array, value: Uint8Array | undefined) => host.onSystemWrite(key, value),
    onChecksum: () => host.onChecksum(replica, index),
  }
  const decoded = writes?.map(write => write.batch)
  return applyEntry(context, index, term, data, decoded)
}
