// The `quorate` command: which commands there are, and what becomes of their errors. It exits nothing and reads no
// globals, so that tests run it in their own process.

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { type ErrorCode, KvError } from '../base/errors.ts'
import { didYouMean } from '../base/nearest-name.ts'
import { UsageError } from './arguments.ts'
import { addBenchCommand } from './bench-command.ts'
import { addClusterCommands } from './cluster-commands.ts'
import { addCompletionCommand } from './completion-command.ts'
import { addDeleteCommand } from './delete-command.ts'
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
  addDeleteCommand(program, context)
  addScanCommands(program, context)
  addClusterCommands(program, context)
  addBenchCommand(program, context)
  addCompletionCommand(program, context)
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return exitCode
  } catch (error) {
    return reportError(error, io, argv, program)
  }
}

function reportError(error: unknown, io: CliIo, argv: readonly string[], program: Command): ExitCode {
  if (error instanceof CommanderError) {
    // Commander has printed its message, or the help that was asked for.
    suggest(error, io, argv, program)
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
    const isReached = Number(error.details['nodesAnswering'] ?? 0) > 0
    const remedy = error.code === 'unavailable' && isReached ? undefined : remedies[error.code]
    io.stderr.write(`quorate: ${error.message} (${error.code})\n${remedy === undefined ? '' : `${remedy}\n`}`)
  }
  return exitCodeOf(error.code)
}

/** Commander names what differs by a few letters; whatever is further off is told what there is. */
function suggest(error: CommanderError, io: CliIo, argv: readonly string[], program: Command): void {
  let command = program
  for (const word of argv) command = command.commands.find(child => child.name() === word) ?? command
  const given = /^error: .*?'([^']*)'/.exec(error.message)?.[1] ?? ''
  const isHelped = error.message.includes('Did you mean')
  if (error.code === 'commander.unknownOption' && !isHelped) {
    const known = command.options.map(({ long }) => long ?? '')
    const remedy = didYouMean(given, known).trim() || `(${command.name()} takes ${known.join(', ')})`
    io.stderr.write(`${remedy}\n`)
  } else if (error.code === 'commander.unknownCommand') {
    const known = command.commands.map(child => child.name())
    const meant = command === program ? otherNames[given] : undefined
    if (meant !== undefined) io.stderr.write(`(quorate calls it ${meant})\n`)
    else if (!isHelped) io.stderr.write(`(there are ${known.join(', ')})\n`)
  }
}

/** What other programs call them. */
const otherNames: Readonly<Record<string, string>> = {
  delete: 'del',
  remove: 'del',
  rm: 'del',
  list: 'scan',
  ls: 'scan',
  keys: 'scan',
  range: 'scan',
  set: 'put',
  write: 'put',
  read: 'get',
  version: '--version',
  server: 'start',
  run: 'start',
  members: 'member',
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
