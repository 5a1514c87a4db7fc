// start: flags to a configuration, a node until it is told to stop. Everything else is the node's.

import type { Command } from 'commander'
import { KvError } from '../base/errors.ts'
import type { RunningNode } from '../node.ts'
import { collect } from './arguments.ts'
import type { CommandContext } from './cli.ts'
import { exitCodes } from './io.ts'

export function addStartCommand(program: Command, { io, run }: CommandContext): void {
  program
    .command('start')
    .description('run a node until it is told to stop (SIGTERM, SIGINT)')
    .option('--node <name>', "the node's name, such as n1")
    .option('--data <directory>', 'where it keeps its log and its state')
    .option('--listen <host:port>', 'for clients')
    .option('--peer-listen <host:port>', 'for other nodes')
    .option('--http-listen <host:port>', 'for health checks and metrics')
    .option('--advertise <host:port>', 'where clients reach it, when not at --listen')
    .option('--peer-advertise <host:port>', 'where other nodes reach it, when not at --peer-listen')
    .option('--http-advertise <host:port>', 'where HTTP reaches it, when not at --http-listen')
    .option('--join <host:port,…>', 'peer addresses to ask for a cluster to join')
    .option('--peer <name=host:port>', 'dial that peer there; may be repeated', collect)
    .option('--voters <count>', 'voters that the cluster grows to by itself')
    .option('--election-timeout <ms>', 'the smallest; each election draws up to twice this')
    .option('--heartbeat <ms>', 'how often a leader reports')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent')
    .option('--reflection', 'serve gRPC reflection')
    .option('--config <file>', 'JSON whose names are these flags')
    .option('--set <limit.name=value>', 'a limit; may be repeated', collect)
    .action(
      run(async flags => {
        // Loaded late: no other command needs a node, and a mistake in the flags should not wait for one.
        const { parseConfig } = await import('../config.ts')
        const config = parseConfig(asTyped(flags as Flags), io.env)
        const { startNode } = await import('../node.ts')
        let node: RunningNode
        try {
          node = await startNode(config)
        } catch (error) {
          // Right flags, and yet no node: a busy port, somebody else's directory, damage. Operators need no stack for it.
          const kind = error instanceof KvError ? ` (${error.code})` : ''
          io.stderr.write(`quorate: ${error instanceof Error ? error.message : String(error)}${kind}\n`)
          return exitCodes.no
        }
        const stopped = new Promise<'stop'>(resolve => {
          if (io.signal.aborted) resolve('stop')
          io.signal.addEventListener('abort', () => resolve('stop'))
        })
        const end = await Promise.race([node.done, stopped])
        if (end === 'stop') {
          await node.close()
          return exitCodes.done
        }
        if (end.code !== 0) io.stderr.write(`quorate: the node ended: ${end.reason}\n`)
        return end.code
      }),
    )
}

type Flags = Readonly<Record<string, string | readonly string[] | boolean | undefined>>

/** Names as on the command line: commander made `peerListen` of `--peer-listen`. */
function asTyped(flags: Flags): Flags {
  const kebab = (name: string): string => name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
  return Object.fromEntries(Object.entries(flags).map(([name, value]) => [kebab(name), value]))
}
