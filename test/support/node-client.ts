// One node asked directly, without the SDK: no discovery, no retry, no proxy. Chaos tests look at the cluster through
// this, so that what they see is what that node knows.

import { type ChannelOptions, Client, credentials } from '@grpc/grpc-js'
import { initMethod, type Method, scanMethod, statusMethod } from '../../src/client/wire.ts'
import { quorate } from '../../src/proto/quorate.js'

const deadlineMs = 3_000
const options: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 250,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
}

const getMethod: Method<quorate.v1.IGetRequest, quorate.v1.IGetResponse> = {
  path: '/quorate.v1.KV/Get',
  serialize: message => quorate.v1.GetRequest.encode(message).finish() as Buffer,
  deserialize: bytes => quorate.v1.GetResponse.decode(bytes),
}
const putMethod: Method<quorate.v1.IPutRequest, quorate.v1.IWriteResponse> = {
  path: '/quorate.v1.KV/Put',
  serialize: message => quorate.v1.PutRequest.encode(message).finish() as Buffer,
  deserialize: bytes => quorate.v1.WriteResponse.decode(bytes),
}

export class NodeClient {
  readonly #client: Client

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), options)
  }

  #call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    limitMs = deadlineMs,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const call = { deadline: Date.now() + limitMs }
      this.#client.makeUnaryRequest(
        method.path,
        method.serialize,
        method.deserialize,
        request,
        call,
        (error, response) => {
          if (error !== null) reject(error)
          else if (response === undefined) reject(new Error(`${method.path}: an empty answer`))
          else resolve(response)
        },
      )
    })
  }

  init(): Promise<quorate.v1.InitResponse> {
    return this.#call(initMethod, {})
  }

  /** `local`: only what the node knows itself, so that no other node is waited for. */
  status(local: boolean): Promise<quorate.v1.StatusResponse> {
    return this.#call(statusMethod, { local })
  }

  async get(key: string, kind: quorate.v1.ReadKind, limitMs = deadlineMs): Promise<string | undefined> {
    const header = { timeoutMs: limitMs }
    const { item } = await this.#call(getMethod, { header, key: Buffer.from(key), options: { kind } }, limitMs)
    return item?.version ? Buffer.from(item.value ?? []).toString() : undefined
  }

  async put(key: string, value: string, limitMs = deadlineMs): Promise<void> {
    const op = { key: Buffer.from(key), value: Buffer.from(value) }
    const { outcome } = await this.#call(putMethod, { header: { timeoutMs: limitMs }, op }, limitMs)
    if (outcome?.kind !== quorate.v1.OutcomeKind.OUTCOME_KIND_DONE) throw new Error(`put: ${outcome?.message}`)
  }

  /** Everything under a prefix, as this replica has applied it. */
  scanStale(prefix: string): Promise<quorate.v1.IKeyVersion[]> {
    return this.scan(prefix, { kind: quorate.v1.ReadKind.READ_KIND_STALE })
  }

  async scan(prefix: string, options: quorate.v1.IReadOptions): Promise<quorate.v1.IKeyVersion[]> {
    const items: quorate.v1.IKeyVersion[] = []
    const start = Buffer.from(prefix)
    const end = Buffer.from(prefix)
    end[end.length - 1] = (end.at(-1) ?? 0) + 1
    const request = { start, end, options }
    const pages = this.#client.makeServerStreamRequest(
      scanMethod.path,
      scanMethod.serialize,
      scanMethod.deserialize,
      request,
      {
        deadline: Date.now() + 10 * deadlineMs,
      },
    )
    for await (const page of pages as AsyncIterable<quorate.v1.IScanResponse>) items.push(...(page.items ?? []))
    return items
  }

  close(): void {
    this.#client.close()
  }
}
