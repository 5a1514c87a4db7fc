// What clients saw, written down as it happens: one JSON line an operation, streamed to a file, and a last line that counts
// them, so that a file cut short is refused by the checker. One clock for all: nanoseconds since the history began, from
// the monotonic clock of this process.
//
// A line: {process, model, key, kind, input?, output?, outcome, invoke, return, node, error?}. `return` is null for `info`:
// such an operation stays open to the end of the history, and who called it goes on under a new process number. `fail` is
// for what certainly was not applied, and for reads that gave no answer.

import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { assert } from '../../src/base/assert.ts'
import { type ErrorCode, isKvError } from '../../src/base/errors.ts'

/** What each model's operations take and give. Absent is null; a compare-and-set's `expected` null: if the key is absent. */
export type Call =
  | { readonly model: 'register'; readonly kind: 'get' }
  | { readonly model: 'register'; readonly kind: 'put'; readonly input: { readonly value: string } }
  | { readonly model: 'register'; readonly kind: 'delete' }
  | {
      readonly model: 'register'
      readonly kind: 'cas'
      readonly input: { readonly expected: string | null; readonly value: string }
    }
  | { readonly model: 'set'; readonly kind: 'add'; readonly input: { readonly value: string } }
  | { readonly model: 'set'; readonly kind: 'read' }
  | { readonly model: 'queue'; readonly kind: 'enqueue'; readonly input: { readonly value: string } }
  | { readonly model: 'queue'; readonly kind: 'dequeue' }

export type ModelName = Call['model']
export type CallKind = Call['kind']
export type CallOutcome = 'ok' | 'fail' | 'info'

/**
 * By kind. get: {value}; delete: {deleted}; cas: {swapped}; read: {values}; dequeue: {value}, null when it was empty;
 * enqueue: {after}, the value before it, '' for none. Unknown ones give what they tried to take, and tried to follow, so
 * that the checker knows what may have happened: without, it would have to try every order of every queue.
 */
export interface CallOutput {
  readonly value?: string | null
  readonly values?: readonly string[]
  readonly after?: string
  readonly deleted?: boolean
  readonly swapped?: boolean
}

export interface HistoryLine {
  readonly process: number
  readonly model: ModelName
  readonly key: string
  readonly kind: CallKind
  readonly input?: { readonly value?: string; readonly expected?: string | null }
  readonly output?: CallOutput
  readonly outcome: CallOutcome
  readonly invoke: number
  readonly return: number | null
  /** Whom the client spoke to: a node, or the SDK, which chooses itself. */
  readonly node: string
  readonly error?: string
}

const readKinds: ReadonlySet<CallKind> = new Set(['get', 'read'])

export function isWrite(kind: CallKind): boolean {
  return !readKinds.has(kind)
}

/**
 * The codes by which the system promises that a write was not applied (src/base/errors.ts). They are taken at their word,
 * so that a broken promise shows as a value that nobody wrote. Everything else is unknown: `unknown-outcome`, `too-late`,
 * `cancelled`, `closed`, `internal`, whatever a damaged node says, and what is no KvError at all.
 *
 * What grpc-js reports by itself goes through src/client/error-decoding.ts first: a deadline, a broken or reset connection
 * come out as `unknown-outcome`, and only a connection that was never made as `unavailable`. So the `deadline-exceeded`
 * that arrives here is a write that was never sent.
 */
const notAppliedCodes: ReadonlySet<ErrorCode> = new Set([
  'invalid-argument',
  'too-large',
  'not-leader',
  'unavailable',
  'overloaded',
  'deadline-exceeded',
  'range-mismatch',
  'wrong-cluster',
  'not-initialised',
  'disk-full',
  'draining',
])

/** The one place that says what an error means for an operation. A read that failed changed nothing, whatever happened. */
export function outcomeOf(kind: CallKind, error: unknown): 'fail' | 'info' {
  if (!isWrite(kind)) return 'fail'
  return isKvError(error) && notAppliedCodes.has(error.code) ? 'fail' : 'info'
}

/** What failed on the way, when a part of an operation of several steps was done already or is in doubt. */
export class OperationError extends Error {
  override readonly name = 'OperationError'
  /** What an unknown operation tried, for the checker. */
  readonly attempted: CallOutput

  constructor(attempted: CallOutput, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.attempted = attempted
  }
}

export interface Recorded {
  readonly outcome: CallOutcome
  readonly output: CallOutput | undefined
  readonly error: string | undefined
}

export class History {
  readonly path: string
  readonly #file: WriteStream
  readonly #start = process.hrtime.bigint()
  #nextProcess = 0
  #lines = 0
  #open = 0
  #isClosed = false
  #failure: Error | undefined

  /** The folder must exist; an older file of that name is replaced. */
  constructor(path: string) {
    this.path = path
    this.#file = createWriteStream(path, { flags: 'w', highWaterMark: 1024 * 1024 })
    this.#file.on('error', error => {
      this.#failure = error
    })
  }

  get operations(): number {
    return this.#lines
  }

  nextProcess(): number {
    return this.#nextProcess++
  }

  /** Runs the call and writes down what came of it. Never rejects for what the call did. */
  async record(
    caller: { process: number; readonly node: string },
    key: string,
    call: Call,
    run: () => Promise<CallOutput>,
  ): Promise<Recorded> {
    assert(!this.#isClosed, 'the history is closed')
    this.#open++
    const invoke = this.#nowNs()
    let outcome: CallOutcome = 'ok'
    let output: CallOutput | undefined
    let failure: unknown
    try {
      output = await run()
    } catch (thrown) {
      failure = thrown instanceof OperationError ? thrown.cause : thrown
      outcome = outcomeOf(call.kind, failure)
      if (outcome === 'info' && thrown instanceof OperationError) output = thrown.attempted
    }
    const error = failure === undefined ? undefined : errorName(failure)
    const line: HistoryLine = {
      process: caller.process,
      model: call.model,
      key,
      kind: call.kind,
      ...('input' in call ? { input: call.input } : {}),
      ...(output === undefined ? {} : { output }),
      outcome,
      invoke,
      return: outcome === 'info' ? null : this.#nowNs(),
      node: caller.node,
      ...(error === undefined ? {} : { error }),
    }
    this.#open--
    this.#lines++
    this.#file.write(`${JSON.stringify(line)}\n`)
    if (outcome === 'info') caller.process = this.nextProcess()
    return { outcome, output, error }
  }

  /** Writes the last line; all operations must have ended. Rejects if the file could not be written. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    assert(this.#open === 0, 'an operation is still under way: stop the workload before you close its history')
    if (this.#failure === undefined) {
      this.#file.end(`${JSON.stringify({ end: this.#lines })}\n`)
      await once(this.#file, 'close')
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  #nowNs(): number {
    return Number(process.hrtime.bigint() - this.#start)
  }
}

/** `unknown-outcome`, `unavailable`, …; a stranger by its message. */
function errorName(error: unknown): string {
  if (isKvError(error)) return error.code
  return error instanceof Error ? error.message : String(error)
}
