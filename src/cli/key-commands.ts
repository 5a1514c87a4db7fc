// get, put, cas: one key.

import type { Command } from 'commander'
import type { Consistency, ReadOptions } from '../client/client.ts'
import { UsageError, parseAt } from './arguments.ts'
import {
  type ByteFlags,
  addKeyForms,
  addValueForms,
  asBytes,
  keyFormOf,
  parseBytes,
  readBytes,
  showBytes,
  valueFormOf,
} from './byte-forms.ts'
import type { CommandContext } from './cli.ts'
import { exitCodes, write } from './io.ts'
import { addSessionOptions, runSession } from './session.ts'
import { bytesToJson } from './text.ts'

export interface ReadFlags extends ByteFlags {
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

export function addKeyCommands(program: Command, context: CommandContext): void {
  addGet(program, context)
  addPut(program, context)
  addCompareAndSet(program, context)
}

const newline = 0x0a

function addGet(program: Command, { io, run }: CommandContext): void {
  const command = program
    .command('get <key>')
    .description("print a key's value, and nothing else; on a terminal it ends with a new line")
  addValueForms(addKeyForms(addReadOptions(addSessionOptions(command)))).action(
    run((given: string, flags: ReadFlags) => {
      const [keyForm, valueForm] = [keyFormOf(flags), valueFormOf(flags)]
      const key = parseBytes(given, keyForm, 'KEY')
      return runSession(io, flags, async ({ client, isJson, call, print }) => {
        const item = await client.getWithMetadata(key, { ...call, ...readOptionsOf(flags) })
        if (item === undefined) {
          if (isJson) await print('', null)
          else io.stderr.write(`quorate: no such key: ${showBytes(asBytes(key), keyForm)}\n`)
          return exitCodes.no
        }
        const { value, timestamp, created, version } = item
        const names = { ...bytesToJson('key', item.key, keyForm), ...bytesToJson('value', value, valueForm) }
        if (isJson) await print('', { ...names, timestamp, created, version })
        else if (valueForm !== 'text') await print(`${showBytes(value, valueForm)}\n`, undefined)
        else {
          await write(io.stdout, value)
          // A prompt must not stand behind the value. What a pipe or a file gets are its bytes alone.
          if (io.stdout.isTTY === true && value.at(-1) !== newline) await write(io.stdout, '\n')
        }
        return exitCodes.done
      })
    }),
  )
}

function addPut(program: Command, { io, run }: CommandContext): void {
  const command = program
    .command('put <key> <value>')
    .description('write a key; @file and - (standard input) are values, too, and @@ begins one with @')
  addValueForms(addKeyForms(addSessionOptions(command, 'write'))).action(
    run((given: string, givenValue: string, flags: ByteFlags) => {
      const key = parseBytes(given, keyFormOf(flags), 'KEY')
      return runSession(io, flags, async ({ client, call, print }) => {
        const value = await readBytes(givenValue, valueFormOf(flags), 'VALUE', io)
        const result = await client.put(key, value, call)
        await print(`ok, version ${result.version}\n`, result)
        return exitCodes.done
      })
    }),
  )
}

function addCompareAndSet(program: Command, { io, run }: CommandContext): void {
  const command = program
    .command('cas <key> <values...>')
    .description('write NEW if the value is EXPECTED: cas KEY EXPECTED NEW')
  addValueForms(addKeyForms(addSessionOptions(command, 'write')))
    .usage('[options] <key> <expected> <new>\n       quorate cas --absent [options] <key> <new>')
    .option('--absent', 'write it if the key is absent: cas --absent KEY NEW')
    .action(
      run((given: string, values: readonly string[], flags: ByteFlags & { readonly absent?: boolean }) => {
        const isAbsent = flags.absent === true
        if (values.length !== (isAbsent ? 1 : 2)) {
          throw new UsageError('it is quorate cas KEY EXPECTED NEW, or quorate cas --absent KEY NEW')
        }
        if (values.filter(value => value === '-').length > 1) throw new UsageError('- can stand for one value only')
        const key = parseBytes(given, keyFormOf(flags), 'KEY')
        const form = valueFormOf(flags)
        return runSession(io, flags, async ({ client, call, print }) => {
          const expected = isAbsent ? null : await readBytes(values[0] ?? '', form, 'EXPECTED', io)
          const value = await readBytes(values[isAbsent ? 0 : 1] ?? '', form, 'NEW', io)
          const result = await client.compareAndSet(key, expected, value, call)
          await print(result.swapped ? 'swapped\n' : '', result)
          if (!result.swapped)
            io.stderr.write(`quorate: not swapped: ${isAbsent ? 'the key is there' : 'the value is another'}\n`)
          return result.swapped ? exitCodes.done : exitCodes.no
        })
      }),
    )
}
