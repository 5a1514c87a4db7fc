// The comparisons of all replicas of a node: what is heard and reached goes to the right one, and what it finds is acted upon. The
// hash of the replicated state is compared all the time, a checksum over all rows when somebody asks for it.

import { type Index, type ReplicaId, systemKeyspace, userKeyspace } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { DamageError } from '../engine/engine.ts'
import { digestRows } from '../mvcc/row-digest.ts'
import type { VersionStore } from '../mvcc/version-store.ts'
import type { Clock } from '../time/clock.ts'
import type { StateHash } from '../transport/transport.ts'
import type { Replica } from './replica.ts'
import { StateComparison } from './state-comparison.ts'
import { unreadable } from './state-verdict.ts'

/** Replicas apply within milliseconds of each other, and read all their rows in minutes. */
const runningAnswerMs = 10_000
const checksumAnswerMs = 10 * 60 * 1000

export interface StateComparisonsOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly versions: VersionStore
  readonly limits: { readonly comparedEvery: number }
  readonly tell: (replica: Replica, to: ReplicaId, message: StateHash) => void
  readonly quarantine: (replica: Replica, reason: string) => void
}

interface Comparisons {
  readonly running: StateComparison
  readonly checksums: StateComparison
  /** The entry of the checksum under way: one at a time, because each reads everything. */
  digesting: Index | undefined
}

export class StateComparisons {
  readonly #options: StateComparisonsOptions
  /** A replica that was rebuilt is another object, and begins anew. */
  readonly #comparisons = new WeakMap<Replica, Comparisons>()

  constructor(options: StateComparisonsOptions) {
    this.#options = options
  }

  /** The replica has applied the entry at `index`. */
  applied(replica: Replica, index: Index): void {
    if (index % this.#options.limits.comparedEvery !== 0 || replica.isQuarantined) return
    this.of(replica).running.reached(index, replica.state.wholeHash())
  }

  /** Its state is as of `index` for this turn. */
  checksum(replica: Replica, index: Index): void {
    const { clock, logger, versions, quarantine } = this.#options
    const of = this.of(replica)
    if (of.digesting !== undefined || replica.isQuarantined) return
    of.digesting = index
    const { threshold } = replica.state
    const wholeHash = replica.state.wholeHash()
    const views = [systemKeyspace, userKeyspace].map(keyspace => versions.viewOf(keyspace))
    const yieldNow = (): Promise<void> => new Promise(resolve => clock.defer(resolve))
    const begunMs = clock.monotonicMs()
    digestRows(views, threshold, yieldNow)
      .then(
        digest => {
          const tookMs = Math.round(clock.monotonicMs() - begunMs)
          logger.info({ range: replica.rangeId, index, tookMs }, 'a checksum of all rows was taken')
          of.checksums.reached(index, `${wholeHash}-${digest}`)
        },
        (error: unknown) => {
          // The others are told first: a damaged state is not to be waited for.
          of.checksums.reached(index, unreadable)
          if (error instanceof DamageError) quarantine(replica, error.message)
          else logger.warn({ range: replica.rangeId, index, error: String(error) }, 'a checksum was not taken')
        },
      )
      .finally(() => {
        of.digesting = undefined
      })
  }

  heard(replica: Replica, { from, index, hash, isAnswer, isChecksum }: StateHash): void {
    const { running, checksums } = this.of(replica)
    const comparison = isChecksum ? checksums : running
    comparison.heard(from, index, hash, isAnswer)
  }

  tick(replica: Replica): void {
    const known = this.#comparisons.get(replica)
    known?.running.tick()
    known?.checksums.tick()
  }

  of(replica: Replica): Comparisons {
    let known = this.#comparisons.get(replica)
    if (known === undefined) {
      known = { running: this.#open(replica, false), checksums: this.#open(replica, true), digesting: undefined }
      this.#comparisons.set(replica, known)
    }
    return known
  }

  #open(replica: Replica, isChecksum: boolean): StateComparison {
    const { clock, logger, tell, quarantine } = this.#options
    const { rangeId, replicaId: from } = replica
    return new StateComparison({
      self: from,
      answerMs: isChecksum ? checksumAnswerMs : runningAnswerMs,
      nowMs: () => clock.monotonicMs(),
      configuration: () => replica.status().configuration,
      nodeOf: member => replica.nodeOf(member) ?? `replica ${member}`,
      tell: (to, index, hash, isAnswer) =>
        tell(replica, to, { kind: 'state-hash', from, to, term: replica.term, index, hash, isAnswer, isChecksum }),
      onMinority: index => quarantine(replica, `its state at entry ${index} is another than that of most replicas`),
      onDisagreement: reason => {
        if (reason !== undefined) logger.error({ range: rangeId }, `${reason}: the range stops`)
        else logger.info({ range: rangeId }, 'a majority of the replicas agrees again: the range goes on')
        const message = `range ${rangeId}: ${reason}; nobody can say who is right`
        replica.suspend(reason === undefined ? undefined : { kind: 'damaged', message })
      },
    })
  }
}
