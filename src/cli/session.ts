// What commands that talk to a cluster share: their options, a client that is closed afterwards, and output in one of
// two forms.

import { type Command, Option } from 'commander'
import type { Client } from '../client/client.ts'
import { type ErrorCode, KvError, isKvError } from '../base/errors.ts'
import { parseWhole } from './arguments.ts'
import { diagnose } from './diagnosis.ts'
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

/** What the SDK takes for a call: a write's outcome is kept for two minutes only. */
const timeoutMsMax = { read: 900_000, write: 115_000 }

export function addSessionOptions(command: Command, kind: 'read' | 'write' = 'read'): Command {
  return command
    .option('-c, --connect <url>', `the cluster (default: QUORATE_URL, else ${urlDefault})`)
    .option('--timeout <ms>', 'how long to try, in milliseconds', parseWhole(1, timeoutMsMax[kind]), 5000)
    .addOption(new Option('-o, --output <form>', 'how to print').choices(['text', 'json']).default('text'))
}

/** Runs `action` with a client, and sets what the process exits with. */
export async function runSession(
  io: CliIo,
  flags: object,
  action: (session: CommandSession) => Promise<ExitCode>,
): Promise<ExitCode> {
  // Whoever runs a command has added them to it.
  const options = flags as SessionOptions
  // Loaded late: `quorate --help` should not wait for gRPC.
  const { connect } = await import('../client/client.ts')
  const url = options.connect ?? (io.env['QUORATE_URL'] || urlDefault)
  // What says no time of its own may write.
  await using client = connect(url, { timeoutMs: Math.min(options.timeout, timeoutMsMax.write) })
  const isJson = options.output === 'json'
  const print = (text: string, value: unknown): Promise<void> =>
    write(io.stdout, isJson ? `${JSON.stringify(value, undefined, 2)}\n` : text)
  try {
    return await action({ client, io, isJson, call: { signal: io.signal, timeoutMs: options.timeout }, print })
  } catch (error) {
    throw isKvError(error) && unserved.has(error.code) ? await withDiagnosis(error, url, io) : error
  }
}

const unserved: ReadonlySet<ErrorCode> = new Set(['unavailable', 'deadline-exceeded', 'unknown-outcome'])

/** `error`, with who of the cluster answers: its own message knows one connection only. */
async function withDiagnosis(error: KvError, url: string, io: CliIo): Promise<KvError> {
  const { answering, text } = await diagnose(url, io.signal)
  const isUnknown = error.code === 'unknown-outcome'
  const message = isUnknown ? `${error.message}; ${text}` : `${text}; last: ${error.message}`
  return new KvError(error.code, message, {
    details: { ...error.details, nodesAnswering: String(answering) },
    cause: error,
  })
}
