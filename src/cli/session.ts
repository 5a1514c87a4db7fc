// What commands that talk to a cluster share: their options, a client that is closed afterwards, and output in one of
// two forms.

import { type Command, Option } from 'commander'
import type { Client } from '../client/client.ts'
import { parseWhole } from './arguments.ts'
import { type CliIo, type ExitCode, write } from './io.ts'

/** The five nodes of `make cluster`. */
export const urlDefault = `quorate://${[7101, 7102, 7103, 7104, 7105].map(port => `127.0.0.1:${port}`).join(',')}`

interface SessionOptions {
  readonly connect?: string
  readonly timeout: number
  readonly output: 'text' | 'json'
}

export interface CommandSession {
  readonly client: Client
  readonly io: CliIo
  readonly isJson: boolean
  /** For every call. */
  readonly call: { readonly signal: AbortSignal; readonly timeoutMs: number }
  /** Text for people, or a value as JSON for programs. */
  print(text: string, value: unknown): Promise<void>
}

export function addSessionOptions(command: Command): Command {
  return command
    .option('-c, --connect <url>', `the cluster (default: QUORATE_URL, else ${urlDefault})`)
    .option('--timeout <ms>', 'how long to try, in milliseconds', parseWhole(1, 86_400_000), 5000)
    .addOption(new Option('-o, --output <form>', 'how to print').choices(['text', 'json']).default('text'))
}

/** Runs `action` with a client, and sets what the process exits with. */
export async function runSession(
  io: CliIo,
  options: SessionOptions,
  action: (session: CommandSession) => Promise<ExitCode>,
): Promise<ExitCode> {
  // Loaded late: `quorate --help` should not wait for gRPC.
  const { connect } = await import('../client/client.ts')
  const url = options.connect ?? (io.env['QUORATE_URL'] || urlDefault)
  await using client = connect(url, { timeoutMs: options.timeout })
  const isJson = options.output === 'json'
  const print = (text: string, value: unknown): Promise<void> =>
    write(io.stdout, isJson ? `${JSON.stringify(value, undefined, 2)}\n` : text)
  return await action({ client, io, isJson, call: { signal: io.signal, timeoutMs: options.timeout }, print })
}
