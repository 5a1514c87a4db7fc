// One operation that a caller waits for: its promise, its deadline, its signal. What becomes of the request is the
// lanes' business; here it is settled once, and a caller that goes away detaches without harming the batch.

import { KvError } from '../base/errors.ts'

export class Operation<Request, Answer> {
  readonly request: Request
  /** Keys and values, in bytes. */
  readonly bytes: number
  /** Monotonic milliseconds. */
  readonly deadlineMs: number
  /** Some attempt went out; from then on only an answer can say that it had no effect. */
  isSent = false
  #isSettled = false
  readonly #finish: (answer: Answer) => unknown
  readonly #resolve: (result: never) => void
  readonly #reject: (error: KvError) => void
  readonly #signal: AbortSignal | undefined
  readonly #onSettled: () => void
  readonly #onAbort: (() => void) | undefined

  /** `finish` turns the answer into the caller's result, or throws a KvError. `resolve` must take what it returns. */
  constructor(
    request: Request,
    bytes: number,
    deadlineMs: number,
    finish: (answer: Answer) => unknown,
    resolve: (result: never) => void,
    reject: (error: KvError) => void,
    signal: AbortSignal | undefined,
    onSettled: () => void,
  ) {
    this.request = request
    this.bytes = bytes
    this.deadlineMs = deadlineMs
    this.#finish = finish
    this.#resolve = resolve
    this.#reject = reject
    this.#signal = signal
    this.#onSettled = onSettled
    if (signal === undefined) return
    this.#onAbort = () => this.fail(new KvError('cancelled', this.#cancelledMessage(), { cause: signal.reason }))
    signal.addEventListener('abort', this.#onAbort)
    if (signal.aborted) this.#onAbort()
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  answer(answer: Answer): void {
    if (!this.#settle()) return
    try {
      this.#resolve(this.#finish(answer) as never)
    } catch (error) {
      this.#reject(error as KvError)
    }
  }

  fail(error: KvError): void {
    if (this.#settle()) this.#reject(error)
  }

  #settle(): boolean {
    if (this.#isSettled) return false
    this.#isSettled = true
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#onSettled()
    return true
  }

  #cancelledMessage(): string {
    return this.isSent ? 'cancelled by the caller after it was sent' : 'cancelled by the caller before it was sent'
  }
}
