// What the local cluster asks of its nodes through the SDK: make a cluster if there is none, who votes, does a write work.

import { connect, isKvError } from '../client/client.ts'

export interface MemberView {
  readonly node: string
  readonly role: string
  readonly leads: boolean
  readonly term: number
  readonly applied: number | undefined
}

const callLimitMs = 2_000
const writeLimitMs = 20_000

/** One explicit init, ever: a cluster that is there already, on any node, is left alone. */
export async function prepare(url: string): Promise<void> {
  await using client = connect(url)
  try {
    await client.admin.init()
    console.log('made a new cluster')
  } catch (error) {
    if (!isKvError(error, 'already-initialised')) throw error
  }
}

/** The members of the first range, as its leader sees them. */
export async function inspect(url: string): Promise<readonly MemberView[]> {
  await using client = connect(url, { timeoutMs: callLimitMs })
  const { ranges } = await client.admin.status()
  const range = ranges[0]
  if (range === undefined) return []
  return range.replicas.map(replica => ({
    node: replica.node,
    role: replica.role,
    leads: replica.node === range.leader,
    term: range.term,
    applied: replica.reachable ? replica.applied : undefined,
  }))
}

export async function writeOnce(url: string): Promise<void> {
  await using client = connect(url, { timeoutMs: writeLimitMs })
  await client.put('quorate/hello', new Date().toISOString())
}
