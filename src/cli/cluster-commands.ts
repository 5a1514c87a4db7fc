// init, status, nodes, member, leader: what operators ask and change.

import type { Command } from 'commander'
import type {
  ChecksumResult,
  ClusterStatus,
  MemberChange,
  NodeInfo,
  RemovalInfo,
  ReplicaInfo,
} from '../client/client.ts'
import type { CommandContext } from './cli.ts'
import { exitCodes } from './io.ts'
import { addSessionOptions, runSession } from './session.ts'
import { shorten, table } from './text.ts'

/** The time of a call that names none; that of a checksum would be too long for all others. */
const connectMs = 5_000

export function addClusterCommands(program: Command, { io, run }: CommandContext): void {
  addSessionOptions(program.command('init').description('make a cluster of one node, once; all others join it')).action(
    run(flags =>
      runSession(io, flags, async ({ client, call, print }) => {
        const made = await client.admin.init(call)
        await print(`${made.node} is the first node of cluster ${made.clusterId}\n`, made)
        return exitCodes.done
      }),
    ),
  )

  addSessionOptions(
    program.command('status').description('nodes, ranges and their replicas; exits 3 without a leader'),
  ).action(
    run(flags =>
      runSession(io, flags, async ({ client, call, print }) => {
        const status = await client.admin.status(call)
        await print(statusText(status), statusJson(status))
        const leaderless = status.ranges.filter(range => range.leader === '')
        if (leaderless.length === 0 && status.ranges.length > 0) return exitCodes.done
        for (const range of leaderless) io.stderr.write(`quorate: range ${range.id} has no leader\n`)
        if (status.ranges.length === 0) io.stderr.write('quorate: no range is known\n')
        return exitCodes.unavailable
      }),
    ),
  )

  addSessionOptions(program.command('nodes').description('every node and its addresses')).action(
    run(flags =>
      runSession(io, flags, async ({ client, call, print }) => {
        const nodes = await client.admin.nodes(call)
        await print(nodesTable(nodes), nodes.map(nodeJson))
        return exitCodes.done
      }),
    ),
  )

  const checksum = program
    .command('checksum')
    .description('has every replica read all its rows, and compares them; exits 1 unless all are equal')
  // As long as reading all the data may take.
  addSessionOptions(checksum)
    .setOptionValueWithSource('timeout', 600_000, 'default')
    .action(
      run(flags =>
        runSession(io, { ...flags, timeout: connectMs }, async ({ client, call, print }) => {
          const compared = await client.admin.checksum({ ...call, timeoutMs: flags.timeout })
          await print(checksumText(compared), compared)
          return compared.equal ? exitCodes.done : exitCodes.no
        }),
      ),
    )

  const member = program.command('member').description('add, promote or remove a member')
  addSessionOptions(
    member
      .command('add <node> [peer-address]')
      .description('add a waiting node as a learner, or let one that was removed come back'),
  ).action(
    run((node: string, peerAddress: string | undefined, flags) =>
      runSession(io, flags, async ({ client, call, print }) => {
        const change = await client.admin.addMember(node, peerAddress ?? '', call)
        const readmitted = `${node} may come back: start it with its data directory as it is, and it joins by itself\n`
        await print(change.readmitted ? readmitted : replicasTable(change.replicas), changeJson(change))
        return exitCodes.done
      }),
    ),
  )
  addSessionOptions(member.command('promote <node>').description('make a learner that has caught up a voter')).action(
    run((node: string, flags) =>
      runSession(io, flags, async ({ client, call, print }) => {
        const change = await client.admin.promoteMember(node, call)
        await print(replicasTable(change.replicas), changeJson(change))
        return exitCodes.done
      }),
    ),
  )
  addSessionOptions(
    member.command('remove <node>').description('remove a member; its data directory stays out until `member add`'),
  ).action(
    run((node: string, flags) =>
      runSession(io, flags, async ({ client, call, print }) => {
        const change = await client.admin.removeMember(node, call)
        await print(`${replicasTable(change.replicas)}${removalText(change.removal)}`, changeJson(change))
        return exitCodes.done
      }),
    ),
  )

  const leader = program.command('leader').description('who leads')
  addSessionOptions(leader.command('transfer [node]').description('to a node, or to the most up-to-date voter')).action(
    run((node: string | undefined, flags) =>
      runSession(io, flags, async ({ client, call, print }) => {
        const name = await client.admin.transferLeader(node ?? '', call)
        await print(`${name} leads\n`, { leader: name })
        return exitCodes.done
      }),
    ),
  )
}

function nodeJson(node: NodeInfo): object {
  const { id, address, live, peerAddress, httpAddress, labels, freeBytes, disk } = node
  return { id, address, live, peerAddress, httpAddress, labels, freeBytes, disk }
}

function replicaJson(replica: ReplicaInfo): object {
  const { node, role, applied, hash, reachable, match } = replica
  return { node, role, applied, hash, reachable, match }
}

function changeJson({ replicas, removal, readmitted }: MemberChange): object {
  return { replicas: replicas.map(replicaJson), removal, readmitted }
}

/** Whether the machine may be switched off by now. */
function removalText(removal: RemovalInfo | undefined): string {
  if (removal === undefined) return ''
  const { node, at, appliedBy, voters, mayBeTakenAway } = removal
  const applied = `${appliedBy} of ${voters} voters have applied that`
  const verdict = mayBeTakenAway ? 'it may be taken away' : 'leave it running until a majority has'
  return `${node} was removed at ${at.toISOString()}; ${applied}: ${verdict}\n`
}

function statusJson(status: ClusterStatus): object {
  return {
    clusterId: status.clusterId,
    nodes: status.nodes.map(nodeJson),
    ranges: status.ranges.map(
      ({ id, leader, term, commit, keyCount, systemKeyCount, byteCount, replicas, removal }) => ({
        id,
        leader,
        term,
        commit,
        keyCount,
        systemKeyCount,
        byteCount,
        replicas: replicas.map(replicaJson),
        removal,
      }),
    ),
  }
}

function checksumText({ index, replicas }: ChecksumResult): string {
  const rows = replicas.map(({ node, replicaId, verdict }) => [node === '' ? `replica ${replicaId}` : node, verdict])
  const columns = [
    ['REPLICA', 'left'],
    ['VERDICT', 'left'],
  ] as const
  return `as of entry ${index}\n${table(columns, rows)}`
}

function nodesTable(nodes: readonly NodeInfo[]): string {
  return table(
    [
      ['NODE', 'left'],
      ['STATE', 'left'],
      ['CLIENTS', 'left'],
      ['PEERS', 'left'],
      ['HTTP', 'left'],
    ],
    nodes.map(node => [node.id, stateText(node), node.address, node.peerAddress, node.httpAddress]),
  )
}

function stateText({ live, disk }: NodeInfo): string {
  if (!live) return 'down'
  return disk === 'low' || disk === 'full' ? `live, disk ${disk}` : 'live'
}

function replicasTable(replicas: readonly ReplicaInfo[], leader = ''): string {
  return table(
    [
      ['REPLICA', 'left'],
      ['ROLE', 'left'],
      ['APPLIED', 'right'],
      ['HASH', 'left'],
    ],
    replicas.map(({ node, role, applied, hash, reachable }) => [
      node,
      node === leader ? `${role}, leads` : role,
      reachable ? applied : '?',
      reachable ? shorten(hash, 17) : 'not reachable',
    ]),
  )
}

function statusText(status: ClusterStatus): string {
  const ranges = status.ranges.map(range => {
    const leader = range.leader === '' ? 'no leader' : `${range.leader} leads`
    const keys = `${range.keyCount} ${range.keyCount === 1 ? 'key' : 'keys'}, ${range.systemKeyCount} of the system`
    const head = `range ${range.id}: ${leader}, term ${range.term}, commit ${range.commit}, ${keys}`
    return `\n${head}\n${replicasTable(range.replicas, range.leader)}${removalText(range.removal)}`
  })
  return `${nodesTable(status.nodes)}${ranges.join('')}`
}
