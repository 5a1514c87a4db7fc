// del: one key, or a span. Nothing is deleted because something was left out.

import type { Command } from 'commander'
import type { SpanOptions } from '../client/client.ts'
import { UsageError } from './arguments.ts'
import { type ByteFlags, addKeyForms, asBytes, keyFormOf, parseBytes, showBytes } from './byte-forms.ts'
import type { CommandContext } from './cli.ts'
import { createProgress, exitCodes } from './io.ts'
import { type CommandSession, addSessionOptions, runSession } from './session.ts'

interface DeleteFlags extends ByteFlags {
  readonly prefix?: string
  readonly range?: string
  readonly toEnd?: boolean
  readonly fromStart?: boolean
  readonly all?: boolean
}

export function addDeleteCommand(program: Command, { io, run }: CommandContext): void {
  const command = program.command('del [key]').description('delete a key, or every key of a span')
  addKeyForms(addSessionOptions(command, 'write'))
    .option('--prefix <prefix>', 'every key that begins with this')
    .option('--range <end>', 'every key from KEY up to, not including, this')
    .option('--to-end', 'every key from KEY on')
    .option('--from-start', 'with --range: every key up to, not including, its end')
    .option('--all', 'every key there is')
    .action(
      run((given: string | undefined, flags: DeleteFlags) => {
        const form = keyFormOf(flags)
        const span = spanToDelete(given, flags)
        if (span !== undefined) return runSession(io, flags, session => deleteSpan(session, span))
        const key = parseBytes(given ?? '', form, 'KEY')
        return runSession(io, flags, async ({ client, call, print }) => {
          const result = await client.delete(key, call)
          await print(result.deleted ? 'deleted\n' : '', result)
          if (!result.deleted) io.stderr.write(`quorate: no such key: ${showBytes(asBytes(key), form)}\n`)
          return result.deleted ? exitCodes.done : exitCodes.no
        })
      }),
    )
}

async function deleteSpan({ client, io, call, print }: CommandSession, span: SpanOptions): Promise<number> {
  const progress = createProgress(io)
  const onProgress = (deleted: number): void => progress.show(`deleted ${deleted} keys`)
  try {
    const { deleted } = await client.deleteRange(span, { ...call, onProgress })
    progress.end()
    await print(`deleted ${deleted} ${deleted === 1 ? 'key' : 'keys'}\n`, { deleted })
  } finally {
    progress.end()
  }
  return exitCodes.done
}

const forms = [
  'KEY',
  '--prefix PREFIX',
  'START --range END',
  'START --to-end',
  '--from-start --range END',
  '--all',
].map(form => `quorate del ${form}`)

/** undefined: KEY alone. An empty word comes of a variable that was not set, so it never stands for every key. */
function spanToDelete(key: string | undefined, flags: DeleteFlags): SpanOptions | undefined {
  const { prefix, range, toEnd, fromStart, all } = flags
  for (const [name, given] of Object.entries({ KEY: key, '--prefix': prefix, '--range': range })) {
    if (given === '') throw new UsageError(`${name} is empty; to delete every key, say quorate del --all`)
  }
  const bytesOf = (given: string | undefined, name: string): string | Uint8Array =>
    parseBytes(given ?? '', keyFormOf(flags), name)
  const given = [
    key !== undefined && 'KEY',
    prefix !== undefined && '--prefix',
    fromStart && '--from-start',
    range !== undefined && '--range',
    toEnd && '--to-end',
    all && '--all',
  ]
  switch (given.filter(Boolean).join(' ')) {
    case 'KEY':
      return undefined
    case '--prefix':
      return { prefix: bytesOf(prefix, '--prefix') }
    case 'KEY --range':
      return { start: bytesOf(key, 'KEY'), end: bytesOf(range, '--range') }
    case 'KEY --to-end':
      return { start: bytesOf(key, 'KEY'), toEnd: true }
    case '--from-start --range':
      return { fromStart: true, end: bytesOf(range, '--range') }
    case '--all':
      return { all: true }
    default:
      throw new UsageError(`what to delete? It is one of:\n  ${forms.join('\n  ')}`)
  }
}
