// Who led while a run was going on: asks every node a few times a second, and counts.

import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessCluster } from '../support/process-cluster.ts'

export interface LeaderCounts {
  /** Terms in which some node was seen to say that it leads, but for the first. */
  readonly leaderChanges: number
  /** By how much the term grew, elections without a winner included. */
  readonly terms: number
}

const askEveryMs = 250

export class LeaderWatch {
  readonly #cluster: ProcessCluster
  readonly #leaders = new Map<number, string>()
  readonly #loop: Promise<void>
  #first = 0
  #last = 0
  #isStopping = false

  private constructor(cluster: ProcessCluster) {
    this.#cluster = cluster
    this.#loop = this.#run()
  }

  static start(cluster: ProcessCluster): LeaderWatch {
    return new LeaderWatch(cluster)
  }

  async #run(): Promise<void> {
    const asked = new Set<string>()
    while (!this.#isStopping) {
      for (const node of this.#cluster.nodes) {
        // A node that is paused answers late: the others are not kept waiting, nor is it asked twice.
        if (!node.isRunning || asked.has(node.name)) continue
        asked.add(node.name)
        void this.#cluster
          .viewOf(node)
          .then(view => {
            if (view === undefined) return
            this.#first ||= view.term
            this.#last = Math.max(this.#last, view.term)
            if (view.leader === node.name) this.#leaders.set(view.term, node.name)
          })
          .catch(() => {})
          .finally(() => asked.delete(node.name))
      }
      await delay(askEveryMs)
    }
  }

  async stop(): Promise<LeaderCounts> {
    this.#isStopping = true
    await this.#loop
    return { leaderChanges: Math.max(0, this.#leaders.size - 1), terms: this.#last - this.#first }
  }
}
