#!/usr/bin/env node
// The process around the command line: signals, streams, the exit code.

import { runCli } from './cli/cli.ts'

const controller = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.on(name, () => {
    // The first asks; the second insists.
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new Error(name))
  })
}

// `quorate scan | head`: a reader that has seen enough is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 3)
})
// Nobody reads the complaints: that must not become one.
process.stderr.on('error', () => {})

const { stdout, stderr, stdin, env } = process
const code = await runCli(process.argv.slice(2), { stdout, stderr, stdin, env, signal: controller.signal })
// Whatever is still open must not keep the process; what was written must leave first.
stdout.write('', () => stderr.write('', () => process.exit(code)))
