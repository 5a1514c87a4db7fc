// When a command could not be served: who answers, and what that means. An error of one connection says nothing of the
// cluster; five nodes of which two answer are another matter than a wrong address.

import type { ClusterStatus } from '../client/client.ts'
import { parseConnectionString } from '../client/connection-string.ts'

export interface Diagnosis {
  /** Nodes that answered. */
  readonly answering: number
  /** Such as `2 of 5 nodes answer, but have no quorum: 3 of 5 voters must`. */
  readonly text: string
}

/** A node that is well answers within this; the command has waited long enough. */
const askTimeoutMs = 1000

/** Asks every node what it knows itself, those first that `url` names. Never rejects. */
export async function diagnose(url: string, signal: AbortSignal): Promise<Diagnosis> {
  const seeds = parseConnectionString(url)
  const first = await askAll(seeds, signal)
  const known = new Set([...first.values()].flatMap(status => status.nodes.map(node => node.address)))
  const others = [...known].filter(address => address !== '' && !seeds.includes(address))
  const answers = new Map([...first, ...(await askAll(others, signal))])
  return conclude(answers, known.size > 0 ? known.size : seeds.length)
}

async function askAll(addresses: readonly string[], signal: AbortSignal): Promise<Map<string, ClusterStatus>> {
  const { connect } = await import('../client/client.ts')
  const answers = new Map<string, ClusterStatus>()
  const ask = async (address: string): Promise<void> => {
    await using client = connect(`quorate://${address}`, { discover: false, timeoutMs: askTimeoutMs })
    answers.set(address, await client.admin.status({ local: true, timeoutMs: askTimeoutMs, signal }))
  }
  await Promise.allSettled(addresses.map(ask))
  return answers
}

/** `answers`: by address. Exported for tests. */
export function conclude(answers: ReadonlyMap<string, ClusterStatus>, nodeCount: number): Diagnosis {
  const answering = Math.min(answers.size, nodeCount)
  const head = `${answering} of ${nodeCount} nodes answer`
  if (answering === 0) {
    const text = nodeCount === 1 ? 'the node does not answer' : `none of the ${nodeCount} nodes answers`
    return { answering, text }
  }
  const statuses = [...answers.values()]
  const addressOf = new Map(statuses.flatMap(({ nodes }) => nodes.map(node => [node.id, node.address] as const)))
  const isAnswering = (node: string): boolean => answers.has(addressOf.get(node) ?? '')
  for (const range of statuses[0]?.ranges ?? []) {
    const voters = range.replicas.filter(({ role }) => role !== 'learner').map(({ node }) => node)
    const silent = voters.filter(node => !isAnswering(node))
    const quorum = Math.floor(voters.length / 2) + 1
    if (voters.length - silent.length < quorum) {
      const need = `${quorum} of ${voters.length} voters must, and ${silent.join(', ')} do not`
      return { answering, text: `${head}, but have no quorum: ${need}` }
    }
  }
  const leaders = new Set(statuses.flatMap(({ ranges }) => ranges.map(({ leader }) => leader)).filter(Boolean))
  const leader = [...leaders].find(isAnswering)
  if (leader === undefined) return { answering, text: `${head}, but none of them leads: an election may be under way` }
  return { answering, text: `${head}, and ${leader} leads: try again, or give it more time (--timeout)` }
}
