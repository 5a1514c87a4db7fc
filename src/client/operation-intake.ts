// Where the operations of a lane come in: queued until the tick is over, so that those of one tick travel together; held
// until the cluster was found; each failed when its time is up.

import { closedError } from './call-errors.ts'
import type { Cluster } from './cluster.ts'
import { DeadlineWatch } from './deadline-watch.ts'
import { Operation } from './operation.ts'
import { OperationQueue } from './operation-queue.ts'
import type { CallOptions } from './options.ts'

/** What the lane does with them. */
export interface IntakeOwner {
  /** Operations may wait, and the cluster can be sent to. */
  readonly send: () => void
  /** Fails what is due at `nowMs`, in the queue and beyond; returns the next deadline, or infinity. */
  readonly sweep: (nowMs: number) => number
  /** There has been no operation for a while: what is under way has lost its callers, and ends. */
  readonly rest: () => void
}

export class OperationIntake<Request, Answer> {
  readonly queue: OperationQueue<Request, Answer>
  readonly #cluster: Cluster
  readonly #owner: IntakeOwner
  readonly #deadlines: DeadlineWatch
  readonly #onSettled: () => void
  #isFlushScheduled = false
  #isWaiting = false

  /** `name`: the queue's, for the error of an operation that it has no room for. */
  constructor(cluster: Cluster, name: string, owner: IntakeOwner) {
    const { queueOperationsMax, queueBytesMax, clock } = cluster.settings
    this.#cluster = cluster
    this.#owner = owner
    this.queue = new OperationQueue({ name, operationsMax: queueOperationsMax, bytesMax: queueBytesMax })
    this.#deadlines = new DeadlineWatch(clock, owner.sweep)
    this.#onSettled = () => cluster.leave()
    cluster.whenIdle(() => {
      this.#deadlines.close()
      if (!cluster.isClosed) owner.rest()
    })
  }

  /** `bytes`: of its key and value. Rejects with a KvError: see Client for the codes. */
  submit<Result>(
    request: Request,
    bytes: number,
    { timeoutMs, signal }: CallOptions,
    finish: (answer: Answer) => Result,
  ): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const { isClosed, clock, settings } = this.#cluster
      const refusal = isClosed ? closedError() : this.queue.refusal(bytes)
      if (refusal !== undefined) {
        reject(refusal)
        return
      }
      const deadlineMs = clock.monotonicMs() + (timeoutMs ?? settings.timeoutMs)
      this.#cluster.enter()
      const settled = this.#onSettled
      const operation = new Operation<Request, Answer>(
        request,
        bytes,
        deadlineMs,
        finish,
        resolve,
        reject,
        signal,
        settled,
      )
      if (operation.isSettled) return
      this.queue.push(operation)
      this.#deadlines.watch(deadlineMs)
      this.#scheduleFlush()
    })
  }

  /** Has the owner send what waits: now, or when the cluster was found. */
  flush(): void {
    const cluster = this.#cluster
    if (cluster.isClosed) return
    if (cluster.isReady) {
      this.#owner.send()
      return
    }
    // Its time, which a write's notAfter is an instant of, is not known yet either.
    if (this.queue.length === 0) return
    if (this.#isWaiting) {
      cluster.discover()
      return
    }
    this.#isWaiting = true
    cluster.whenReady(() => this.flush())
  }

  close(): void {
    this.#deadlines.close()
    this.queue.sweep(operation => operation.fail(closedError()))
  }

  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    this.#cluster.clock.defer(() => {
      this.#isFlushScheduled = false
      this.flush()
    })
  }
}
