// The command, run in the test's own process.

import { Readable, Writable } from 'node:stream'
import { runCli } from '../../src/cli/cli.ts'

export interface Result {
  readonly code: number
  readonly out: Buffer
  readonly err: string
}

class Collector extends Writable {
  readonly chunks: Buffer[] = []
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk)
    done()
  }
}

export interface CliOptions {
  readonly stdin?: string | Uint8Array
  readonly url?: string
  /** Output goes to a terminal. */
  readonly isTTY?: boolean
}

export async function runWith(argv: readonly string[], options: CliOptions): Promise<Result> {
  const isTTY = options.isTTY ?? false
  const stdout = Object.assign(new Collector(), { isTTY })
  const stderr = Object.assign(new Collector(), { isTTY })
  const stdin = Readable.from([Buffer.from(options.stdin ?? '')])
  const env = { QUORATE_URL: options.url }
  const code = await runCli(argv, { stdout, stderr, stdin, env, signal: new AbortController().signal })
  return { code, out: Buffer.concat(stdout.chunks), err: Buffer.concat(stderr.chunks).toString() }
}
