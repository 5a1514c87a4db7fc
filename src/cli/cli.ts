// The `quorate` command: which commands there are, and what becomes of their errors. It exits nothing and reads no
// globals, so that tests run it in their own process.

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { type ErrorCode, KvError } from '../base/errors.ts'
import { UsageError } from './arguments.ts'
import { addBenchCommand } from './bench-command.ts'
import { addClusterCommands } from './cluster-commands.ts'
import { type CliIo, type ExitCode, exitCodes } from './io.ts'
import { addKeyCommands } from './key-commands.ts'
import { addScanCommands } from './scan-commands.ts'
import { addStartCommand } from './start-command.ts'

/** Options as commander hands them over, after a command's arguments. */
// biome-ignore lint/suspicious/noExplicitAny: commander's actions are untyped; each command declares what it declared
type Action = (...given: any[]) => Promise<ExitCode>

export interface CommandContext {
  readonly io: CliIo
  /** Makes a commander action of `action`, whose result becomes the exit code. */
  readonly run: (action: Action) => (...given: unknown[]) => Promise<void>
}

const examples = `
Examples:
  quorate put greeting hello
  quorate get greeting
  quorate put picture @cat.jpg
  quorate scan user/ --limit 10
  quorate get greeting --at -30s
  quorate status -o json

Exit codes: 0 done, 1 no (absent key, failed compare), 2 wrong usage, 3 unavailable or unknown outcome.
`

/** `argv` without the program and the script. Returns what the process should exit with. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  let exitCode: ExitCode = exitCodes.done
  const program = new Command('quorate')
    .description('A strongly consistent key-value cluster.')
    .version(readVersion(), '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: text => io.stdout.write(text), writeErr: text => io.stderr.write(text) })
    .showHelpAfterError('(quorate --help lists the commands, quorate COMMAND --help its options)')
    .addHelpText('after', examples)
  const run: CommandContext['run'] =
    action =>
    async (...given) => {
      // Commander adds the command itself at the end.
      exitCode = await action(...given.slice(0, -1))
    }
  const context = { io, run }
  addStartCommand(program, context)
  addKeyCommands(program, context)
  addScanCommands(program, context)
  addClusterCommands(program, context)
  addBenchCommand(program, context)
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return exitCode
  } catch (error) {
    return reportError(error, io, argv)
  }
}

function reportError(error: unknown, io: CliIo, argv: readonly string[]): ExitCode {
  if (error instanceof CommanderError) {
    // Commander has printed its message, or the help that was asked for.
    const isHelp = ['commander.helpDisplayed', 'commander.version'].includes(error.code) || error.exitCode === 0
    return isHelp ? exitCodes.done : exitCodes.wrongUsage
  }
  if (error instanceof UsageError) {
    io.stderr.write(`quorate: ${error.message}\n`)
    return exitCodes.wrongUsage
  }
  if (!(error instanceof KvError)) throw error
  if (wantsJson(argv)) {
    const { code, message, details, retryable } = error
    io.stderr.write(`${JSON.stringify({ error: { code, message, retryable, details } })}\n`)
  } else {
    const remedy = remedies[error.code]
    io.stderr.write(`quorate: ${error.message} (${error.code})\n${remedy === undefined ? '' : `${remedy}\n`}`)
  }
  return exitCodeOf(error.code)
}

function wantsJson(argv: readonly string[]): boolean {
  return argv.some((given, i) =>
    /^(-o|--output)$/.test(given) ? argv[i + 1] === 'json' : /^(-ojson|-o=json|--output=json)$/.test(given),
  )
}

const remedies: Readonly<Partial<Record<ErrorCode, string>>> = {
  unavailable: 'Is the cluster running? See --connect and QUORATE_URL; `make cluster` starts one.',
  'unknown-outcome': 'Read the key before you write it again.',
  'too-late': 'Read the key before you write it again.',
  'not-initialised': 'Run `quorate init` once, with --connect naming the first node alone.',
}

function exitCodeOf(code: ErrorCode): ExitCode {
  switch (code) {
    case 'invalid-argument':
    case 'too-large':
    case 'below-threshold':
    case 'future-instant':
      return exitCodes.wrongUsage
    case 'not-found':
    case 'conflict':
    case 'already-initialised':
      return exitCodes.no
    default:
      return exitCodes.unavailable
  }
}

function readVersion(): string {
  // In a checkout this file is src/cli/cli.ts, in the package dist/src/cli/cli.js.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (name === 'quorate') return version
    } catch {
      // Not there: try the next.
    }
  }
  return 'unknown'
}
