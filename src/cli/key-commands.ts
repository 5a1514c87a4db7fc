// get, put, del, cas: one key, or a span to delete.

import type { Command } from 'commander'
import type { Consistency, ReadOptions, SpanOptions } from '../client/client.ts'
import { UsageError, parseAt, readValue } from './arguments.ts'
import type { CommandContext } from './cli.ts'
import { createProgress, exitCodes, write } from './io.ts'
import { addSessionOptions, runSession } from './session.ts'
import { bytesToJson } from './text.ts'

export interface ReadFlags {
  readonly at?: number | Date
  readonly stale?: boolean
}

export function addReadOptions(command: Command): Command {
  return command
    .option('--at <time>', 'read an instant: a date, -30s, or a timestamp', parseAt)
    .option('--stale', 'whatever the node asked has applied')
}

export function readOptionsOf(flags: ReadFlags): ReadOptions {
  const consistency: Consistency = flags.stale === true ? 'stale' : 'linearizable'
  return flags.at === undefined ? { consistency } : { at: flags.at }
}

export function addKeyCommands(program: Command, { io, run }: CommandContext): void {
  addReadOptions(
    addSessionOptions(program.command('get <key>').description("print a key's value, and nothing else")),
  ).action(
    run((key: string, flags) =>
      runSession(io, flags, async ({ client, isJson, call, print }) => {
        const item = await client.getWithMetadata(key, { ...call, ...readOptionsOf(flags) })
        if (item === undefined) {
          if (isJson) await print('', null)
          else io.stderr.write(`quorate: no such key: ${key}\n`)
          return exitCodes.no
        }
        const { value, timestamp, created, version } = item
        if (isJson) await print('', { key, ...bytesToJson('value', value), timestamp, created, version })
        else await write(io.stdout, value)
        return exitCodes.done
      }),
    ),
  )

  addSessionOptions(
    program.command('put <key> <value>').description('write a key; @file and - (standard input) are values, too'),
  ).action(
    run((key: string, given: string, flags) =>
      runSession(io, flags, async ({ client, call, print }) => {
        const result = await client.put(key, await readValue(given, io), call)
        await print(`ok, version ${result.version}\n`, result)
        return exitCodes.done
      }),
    ),
  )

  addSessionOptions(program.command('del [key]').description('delete a key, or every key of a span'))
    .option('--prefix <prefix>', 'every key that begins with this')
    .option('--range <end>', 'every key from KEY up to, not including, this')
    .option('--to-end', 'every key from KEY on')
    .option('--from-start', 'with --range: every key up to, not including, its end')
    .option('--all', 'every key there is')
    .action(
      run((key: string | undefined, flags) => {
        const span = spanToDelete(key, flags as DeleteFlags)
        return runSession(io, flags, async ({ client, call, print }) => {
          if (span === undefined) {
            const result = await client.delete(key ?? '', call)
            await print(result.deleted ? 'deleted\n' : '', result)
            if (!result.deleted) io.stderr.write(`quorate: no such key: ${key}\n`)
            return result.deleted ? exitCodes.done : exitCodes.no
          }
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
        })
      }),
    )

  addSessionOptions(
    program.command('cas <key> <values...>').description('write NEW if the value is EXPECTED: cas KEY EXPECTED NEW'),
  )
    .usage('[options] <key> <expected> <new>\n       quorate cas --absent [options] <key> <new>')
    .option('--absent', 'write it if the key is absent: cas --absent KEY NEW')
    .action(
      run((key: string, values: readonly string[], flags) => {
        const isAbsent = (flags as { absent?: boolean }).absent === true
        if (values.length !== (isAbsent ? 1 : 2)) {
          throw new UsageError('it is quorate cas KEY EXPECTED NEW, or quorate cas --absent KEY NEW')
        }
        if (values.filter(value => value === '-').length > 1) throw new UsageError('- can stand for one value only')
        return runSession(io, flags, async ({ client, call, print }) => {
          const expected = isAbsent ? null : await readValue(values[0] ?? '', io)
          const value = await readValue(values[isAbsent ? 0 : 1] ?? '', io)
          const result = await client.compareAndSet(key, expected, value, call)
          await print(result.swapped ? 'swapped\n' : '', result)
          if (!result.swapped)
            io.stderr.write(`quorate: not swapped: ${isAbsent ? 'the key is there' : 'the value is another'}\n`)
          return result.swapped ? exitCodes.done : exitCodes.no
        })
      }),
    )
}

interface DeleteFlags {
  readonly prefix?: string
  readonly range?: string
  readonly toEnd?: boolean
  readonly fromStart?: boolean
  readonly all?: boolean
}

const deleteForms =
  'quorate del KEY, del --prefix PREFIX, del START --range END, del START --to-end, del --from-start --range END, or del --all'

/** undefined: KEY alone. An empty word comes of a variable that was not set, so it never stands for every key. */
function spanToDelete(key: string | undefined, flags: DeleteFlags): SpanOptions | undefined {
  const { prefix, range, toEnd, fromStart, all } = flags
  for (const [name, given] of Object.entries({ KEY: key, '--prefix': prefix, '--range': range })) {
    if (given === '') throw new UsageError(`${name} is empty; to delete every key, say quorate del --all`)
  }
  const form = [
    key !== undefined && 'KEY',
    prefix !== undefined && '--prefix',
    fromStart && '--from-start',
    range !== undefined && '--range',
    toEnd && '--to-end',
    all && '--all',
  ]
  switch (form.filter(Boolean).join(' ')) {
    case 'KEY':
      return undefined
    case '--prefix':
      return { prefix: prefix ?? '' }
    case 'KEY --range':
      return { start: key ?? '', end: range ?? '' }
    case 'KEY --to-end':
      return { start: key ?? '', toEnd: true }
    case '--from-start --range':
      return { fromStart: true, end: range ?? '' }
    case '--all':
      return { all: true }
    default:
      throw new UsageError(`what to delete? ${deleteForms}`)
  }
}
