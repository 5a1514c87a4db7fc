// Operations that wait for the next batch, bounded in number and bytes. First in, first out.

import { KvError } from '../base/errors.ts'
import type { Operation } from './operation.ts'

export interface QueueLimits {
  readonly name: string
  readonly operationsMax: number
  readonly bytesMax: number
}

const uncounted = { max: Number.POSITIVE_INFINITY, of: () => 0 }

export class OperationQueue<Request, Answer> {
  readonly #limits: QueueLimits
  #operations: Operation<Request, Answer>[] = []
  #bytes = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get length(): number {
    return this.#operations.length
  }

  /** What the next batch begins with. */
  get first(): Request | undefined {
    return this.#operations.find(operation => !operation.isSettled)?.request
  }

  /** Why there is no room for `bytes` more; undefined when there is. */
  refusal(bytes: number): KvError | undefined {
    const { name, operationsMax, bytesMax } = this.#limits
    // One operation always fits into an empty queue, whatever its size.
    const isFull = this.#operations.length >= operationsMax || (this.#bytes + bytes > bytesMax && this.#bytes > 0)
    if (!isFull) return undefined
    return new KvError('overloaded', `the queue ${name} is full (${this.#operations.length} operations)`, {
      details: { queue: name },
      retryAfterMs: 50,
    })
  }

  push(operation: Operation<Request, Answer>): void {
    this.#operations.push(operation)
    this.#bytes += operation.bytes
  }

  /** They were taken, and nobody has answered them: they are next again, in their order. */
  putBack(operations: readonly Operation<Request, Answer>[]): void {
    if (operations.length === 0) return
    this.#operations = [...operations, ...this.#operations]
    for (const operation of operations) this.#bytes += operation.bytes
  }

  /**
   * The next batch: at least one operation, at most `operationsMax`, and `bytesMax` unless one alone is larger. Only
   * those that go with the first one; settled ones are dropped. `keyOperations`: likewise how many keys they touch.
   */
  take(
    operationsMax: number,
    bytesMax: number,
    goesWith: (first: Request, other: Request) => boolean = () => true,
    keyOperations: { readonly max: number; readonly of: (request: Request) => number } = uncounted,
  ): Operation<Request, Answer>[] {
    const taken: Operation<Request, Answer>[] = []
    const left: Operation<Request, Answer>[] = []
    let bytes = 0
    let keys = 0
    let leftBytes = 0
    let isFull = false
    for (const operation of this.#operations) {
      if (operation.isSettled) continue
      const first = taken[0]
      if (first !== undefined && !isFull) {
        isFull =
          taken.length >= operationsMax ||
          bytes + operation.bytes > bytesMax ||
          keys + keyOperations.of(operation.request) > keyOperations.max
      }
      if (isFull || (first !== undefined && !goesWith(first.request, operation.request))) {
        left.push(operation)
        leftBytes += operation.bytes
      } else {
        taken.push(operation)
        bytes += operation.bytes
        keys += keyOperations.of(operation.request)
      }
    }
    this.#operations = left
    this.#bytes = leftBytes
    return taken
  }

  /** Calls `visit` for each that waits, and returns the earliest deadline among those not settled after it. */
  sweep(visit: (operation: Operation<Request, Answer>) => void): number {
    return sweepOperations(this.#operations, visit)
  }
}

export function sweepOperations<Request, Answer>(
  operations: readonly Operation<Request, Answer>[],
  visit: (operation: Operation<Request, Answer>) => void,
): number {
  let earliestMs = Number.POSITIVE_INFINITY
  for (const operation of operations) {
    if (operation.isSettled) continue
    visit(operation)
    if (!operation.isSettled && operation.deadlineMs < earliestMs) earliestMs = operation.deadlineMs
  }
  return earliestMs
}
