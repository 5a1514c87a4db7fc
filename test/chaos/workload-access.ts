// The two ways in which a workload's clients reach the cluster, behind one face: the SDK, which finds the leader, repeats
// and numbers its writes in a session; and unary calls to one node, which do nothing of the kind. Both reject with a
// KvError, and values are text.

import { type ChannelOptions, Client as GrpcClient, credentials } from '@grpc/grpc-js'
import { KvError } from '../../src/base/errors.ts'
import { type Client, connect } from '../../src/client/client.ts'
import { encodeCommit } from '../../src/client/commit.ts'
import { decodeCallError } from '../../src/client/error-decoding.ts'
import { type Method, scanMethod } from '../../src/client/wire.ts'
import { quorate } from '../../src/proto/quorate.js'

export interface Access {
  /** Whom the client speaks to, for the history. */
  readonly node: string
  /** Null: the key is absent. */
  get(key: string, timeoutMs: number): Promise<string | null>
  put(key: string, value: string, timeoutMs: number): Promise<void>
  /** Whether the key was there. */
  delete(key: string, timeoutMs: number): Promise<boolean>
  /** Whether it was swapped. `expected` null: if the key is absent. */
  compareAndSet(key: string, expected: string | null, value: string, timeoutMs: number): Promise<boolean>
  /** All values under a prefix, at one instant. */
  scan(prefix: string, timeoutMs: number): Promise<string[]>
  close(): void
}

/** Small, so that a set's read takes several pages. */
const pageKeys = 32

export function sdkAccess(url: string): Access {
  // Short attempts, so that answers that are late make the session repeat what was applied already.
  const client: Client = connect(url, { readConnections: 1, attemptTimeoutMs: 400 })
  return {
    node: 'sdk',
    get: async (key, timeoutMs) => (await client.getText(key, { timeoutMs })) ?? null,
    put: async (key, value, timeoutMs) => {
      await client.put(key, value, { timeoutMs })
    },
    delete: async (key, timeoutMs) => (await client.delete(key, { timeoutMs })).deleted,
    compareAndSet: async (key, expected, value, timeoutMs) =>
      (await client.compareAndSet(key, expected, value, { timeoutMs })).swapped,
    scan: async (prefix, timeoutMs) => {
      const values: string[] = []
      const signal = AbortSignal.timeout(timeoutMs)
      for await (const item of client.scan({ prefix, pageKeys, timeoutMs, signal })) values.push(textOf(item.value))
      return values
    },
    close: () => client.close(),
  }
}

const channelOptions: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 250,
}

function method<Request, Response>(
  name: string,
  request: { encode(message: Request): { finish(): Uint8Array } },
  response: { decode(bytes: Uint8Array): Response },
): Method<Request, Response> {
  return {
    path: `/quorate.v1.KV/${name}`,
    serialize: message => request.encode(message).finish() as Buffer,
    deserialize: bytes => response.decode(bytes),
  }
}

const { v1 } = quorate
const getMethod = method<quorate.v1.IGetRequest, quorate.v1.GetResponse>('Get', v1.GetRequest, v1.GetResponse)
const putMethod = method<quorate.v1.IPutRequest, quorate.v1.WriteResponse>('Put', v1.PutRequest, v1.WriteResponse)
const deleteMethod = method<quorate.v1.IDeleteRequest, quorate.v1.WriteResponse>(
  'Delete',
  v1.DeleteRequest,
  v1.WriteResponse,
)
const commitMethod = method<quorate.v1.ICommitRequest, quorate.v1.WriteResponse>(
  'Commit',
  v1.CommitRequest,
  v1.WriteResponse,
)

/** A connection that is not up by then is made anew: grpc-js may wait for ever on one that a peer took and then ignored. */
const connectLimitMs = 300
/** A node that did not answer is left alone for this long, as any caller with a choice of nodes would. */
const restMs = 1_000

export class UnaryNode implements Access {
  readonly node: string
  readonly #address: string
  #client: GrpcClient
  #restsUntilMs = 0

  constructor(name: string, address: string) {
    this.node = name
    this.#address = address
    this.#client = new GrpcClient(address, credentials.createInsecure(), channelOptions)
  }

  get isResting(): boolean {
    return performance.now() < this.#restsUntilMs
  }

  async get(key: string, timeoutMs: number): Promise<string | null> {
    const { item } = await this.#call(getMethod, { key: Buffer.from(key) }, timeoutMs)
    return item?.timestamp ? textOf(item.value) : null
  }

  async put(key: string, value: string, timeoutMs: number): Promise<void> {
    const op = { key: Buffer.from(key), value: Buffer.from(value) }
    outcomeIn(await this.#call(putMethod, { op }, timeoutMs))
  }

  async delete(key: string, timeoutMs: number): Promise<boolean> {
    const response = await this.#call(deleteMethod, { op: { key: Buffer.from(key) } }, timeoutMs)
    return (outcomeIn(response).deleted ?? 0) > 0
  }

  async compareAndSet(key: string, expected: string | null, value: string, timeoutMs: number): Promise<boolean> {
    const compare = expected === null ? { key, absent: true } : { key, value: expected }
    const op = encodeCommit('commit', { compares: [compare], then: [{ put: key, value }] }, () => {})
    const { kind } = outcomeIn(await this.#call(commitMethod, { op }, timeoutMs))
    return kind === v1.OutcomeKind.OUTCOME_KIND_DONE
  }

  async scan(prefix: string, timeoutMs: number): Promise<string[]> {
    const deadline = Date.now() + timeoutMs
    await this.#ready(timeoutMs)
    const start = Buffer.from(prefix)
    const end = Buffer.from(prefix)
    end[end.length - 1] = (end.at(-1) ?? 0) + 1
    const { path, serialize, deserialize } = scanMethod
    const request = { start, end, pageKeys }
    const pages = this.#client.makeServerStreamRequest(path, serialize, deserialize, request, { deadline })
    const values: string[] = []
    let resume: Uint8Array | undefined
    try {
      for await (const page of pages as AsyncIterable<quorate.v1.ScanResponse>) {
        for (const item of page.items) values.push(textOf(item.value))
        resume = page.resume
      }
    } catch (error) {
      throw this.#failed(error)
    }
    // A stream that ends in the middle would look like a set that lost elements.
    if (resume === undefined || resume.length > 0) throw new KvError('internal', 'the scan ended before its last page')
    return values
  }

  close(): void {
    this.#client.close()
  }

  async #ready(timeoutMs: number): Promise<void> {
    const client = this.#client
    const deadline = Date.now() + Math.min(timeoutMs, connectLimitMs)
    const error = await new Promise<Error | undefined>(resolve => client.waitForReady(deadline, resolve))
    if (error === undefined) return
    this.#rest()
    if (this.#client === client) {
      client.close()
      this.#client = new GrpcClient(this.#address, credentials.createInsecure(), channelOptions)
    }
    throw new KvError('unavailable', `${this.node} cannot be reached; nothing was sent`)
  }

  async #call<Request extends object, Response>(
    { path, serialize, deserialize }: Method<Request & { header: quorate.v1.IRequestHeader }, Response>,
    request: Request,
    timeoutMs: number,
  ): Promise<Response> {
    const deadline = Date.now() + timeoutMs
    await this.#ready(timeoutMs)
    const sent = { ...request, header: { timeoutMs } }
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, serialize, deserialize, sent, { deadline }, (error, response) => {
        if (error !== null) reject(this.#failed(error))
        else if (response === undefined) reject(new KvError('internal', `${path}: an empty answer`))
        else resolve(response)
      })
    })
  }

  #failed(thrown: unknown): KvError {
    const error = decodeCallError(thrown, this.#address)
    if (error.code === 'unknown-outcome') this.#rest()
    return error
  }

  #rest(): void {
    this.#restsUntilMs = performance.now() + restMs
  }
}

function outcomeIn(response: quorate.v1.WriteResponse): quorate.v1.IOutcome {
  const outcome = response.outcome ?? {}
  switch (outcome.kind) {
    case v1.OutcomeKind.OUTCOME_KIND_DONE:
    case v1.OutcomeKind.OUTCOME_KIND_CONDITION_FAILED:
      return outcome
    case v1.OutcomeKind.OUTCOME_KIND_TOO_LATE:
      throw new KvError('too-late', outcome.message || 'too late')
    case v1.OutcomeKind.OUTCOME_KIND_INVALID:
      throw new KvError('invalid-argument', outcome.message || 'refused')
    default:
      throw new KvError('internal', `an outcome of kind ${outcome.kind}`)
  }
}

function textOf(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? []).toString()
}
