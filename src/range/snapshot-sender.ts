// Sends snapshots to other stores, each from an engine snapshot at a flushed index.

import type { NodeId, ReplicaId, StoreId, Term } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { DamageError, type EngineSnapshot } from '../engine/engine.ts'
import { exportRange } from '../mvcc/range-export.ts'
import type { Transport } from '../transport/transport.ts'
import { decodeConfiguration } from './descriptor.ts'
import type { Replica } from './replica.ts'
import type { ReplicaLimits } from './replica-host.ts'

export interface SnapshotSenderOptions {
  readonly transport: Transport
  readonly logger: Logger
  readonly limits: Pick<ReplicaLimits, 'snapshotChunkBytes'>
  /** The store that the transport dials under a node's name. */
  readonly storeOf: (node: NodeId) => StoreId | undefined
  /** The state that was to be sent is damaged here. */
  readonly onDamaged: (replica: Replica, error: DamageError) => void
  /** What `capture` saw in the tick of an engine flush, and a view of the engine at exactly that instant. */
  readonly flushAndView: <Captured>(
    capture: () => Captured,
  ) => Promise<{ readonly captured: Captured; readonly view: EngineSnapshot }>
}

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions
  readonly #underWay = new Set<string>()
  readonly #closing = new AbortController()

  constructor(options: SnapshotSenderOptions) {
    this.#options = options
  }

  /** One at a time to each replica; the core is told how it ended. `term` is the leadership that asked: none other may speak so. */
  async send(replica: Replica, to: ReplicaId, term: Term): Promise<void> {
    const name = `${replica.rangeId}/${to}`
    if (this.#underWay.has(name)) return
    this.#underWay.add(name)
    const { logger, transport, storeOf } = this.#options
    let index = replica.state.appliedIndex
    let installed = false
    try {
      const member = replica.memberOf(to)
      if (member === undefined || storeOf(member.node) !== member.storeId) return
      const { node } = member
      // A snapshot is sent at the *flushed* index (bug 74): state and view are taken in one tick.
      const { captured: taken, view } = await this.#options.flushAndView(() => {
        // Who lost its leadership meanwhile may even be installing another's snapshot over this state.
        if (!replica.isLeader || replica.term !== term) return undefined
        const { state } = replica
        return {
          descriptor: state.descriptor,
          meta: {
            index: state.appliedIndex,
            term: state.appliedTerm,
            configuration: decodeConfiguration(state.configuration),
          },
        }
      })
      try {
        if (taken === undefined) return
        index = taken.meta.index
        logger.info({ range: replica.rangeId, to: node, index }, 'sending a snapshot')
        replica.holds.streamed(to, index, 0)
        installed = await transport.sendSnapshot(
          node,
          {
            rangeId: replica.rangeId,
            from: replica.replicaId,
            to,
            term,
            meta: taken.meta,
            descriptor: taken.descriptor,
            chunks: exportRange(view, replica.rangeId, this.#options.limits.snapshotChunkBytes),
            onProgress: workBytes => replica.holds.streamed(to, taken.meta.index, workBytes),
          },
          this.#closing.signal,
        )
      } finally {
        await view.close()
      }
    } catch (error) {
      if (error instanceof DamageError) this.#options.onDamaged(replica, error)
      logger.warn(
        { range: replica.rangeId, to, error: String(error) },
        'a snapshot was not delivered; it is sent again when asked for',
      )
    } finally {
      this.#underWay.delete(name)
      replica.holds.streamEnded(to)
      replica.snapshotReported(to, index, installed)
    }
  }

  close(): void {
    this.#closing.abort()
  }
}
