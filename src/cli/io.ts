// What a command sees of its process. Tests hand in their own.

import type { Writable } from 'node:stream'

export type Output = Pick<Writable, 'write' | 'once'> & { readonly isTTY?: boolean }

export interface CliIo {
  readonly stdout: Output
  readonly stderr: Output
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted when the process is asked to end. */
  readonly signal: AbortSignal
}

/** What scripts rely on. */
export const exitCodes = {
  done: 0,
  /** The answer is no: an absent key, a failed compare, a change that is not allowed now. */
  no: 1,
  wrongUsage: 2,
  /** Nobody could be asked, or whether a write was applied is not known. */
  unavailable: 3,
  /** Of a node: an operator removed it. A supervisor that starts it again changes nothing; `member add` does. */
  removed: 4,
} as const

export type ExitCode = number

/** Waits when the reader is slower than the cluster. */
export async function write(output: Output, chunk: string | Uint8Array): Promise<void> {
  if (!output.write(chunk)) await new Promise<void>(resolve => output.once('drain', resolve))
}

/** One line on a terminal that replaces itself; nothing anywhere else. */
export interface Progress {
  show(text: string): void
  end(): void
}

export function createProgress(io: CliIo): Progress {
  let isShown = false
  return {
    show(text) {
      if (!io.stderr.isTTY) return
      isShown = true
      io.stderr.write(`\r\u001b[K${text}`)
    },
    end() {
      if (isShown) io.stderr.write('\r\u001b[K')
    },
  }
}
