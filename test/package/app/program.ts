// Type-checked only: what a strict program writes against the published declarations.

import {
  type Client,
  type ClientOptions,
  type CommitResult,
  type KeyValue,
  KvError,
  connect,
  isKvError,
  timestampToDate,
} from 'quorate'
import { parseConfig, startNode } from 'quorate/node'

export async function nextId(client: Client, signal?: AbortSignal, timeoutMs?: number): Promise<number> {
  const seen = await client.getText('next', { signal, timeoutMs })
  const id = seen === undefined ? 1 : Number(seen)
  const { swapped } = await client.compareAndSet('next', seen, String(id + 1), { signal })
  return swapped ? id : nextId(client, signal, timeoutMs)
}

export async function list(client: Client, at?: Date, limit?: number, reverse?: boolean): Promise<string[]> {
  const found: string[] = []
  for await (const item of client.scan({ prefix: 'orders/', at, limit, reverse })) found.push(describe(item))
  return found
}

const describe = (item: KeyValue): string => `${item.version} ${timestampToDate(item.timestamp).toISOString()}`

export async function create(client: Client, key: string): Promise<CommitResult> {
  return client.commit({ compares: [{ key, absent: true }], then: [{ put: key, value: new Uint8Array(1) }] })
}

export async function withNode(options: ClientOptions, timeoutMs: number | undefined): Promise<string> {
  const node = await startNode(parseConfig({ node: 'n1' }, {}))
  await using client = connect(`quorate://127.0.0.1:${node.clientPort}`, { ...options, timeoutMs })
  try {
    await client.put('a', 'b')
    return 'done'
  } catch (error) {
    if (isKvError(error, 'too-large')) return error.code
    if (error instanceof KvError) return error.message
    throw error
  }
}
