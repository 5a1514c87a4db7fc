// scan and history: many keys, or many versions of one.

import type { Command } from 'commander'
import type { HistoricVersion, KeyValue, ScanOptions } from '../client/client.ts'
import { parseWhole } from './arguments.ts'
import {
  type ByteFlags,
  addKeyForms,
  addValueForms,
  asBytes,
  keyFormOf,
  parseBytes,
  showBytes,
  valueFormOf,
} from './byte-forms.ts'
import type { CommandContext } from './cli.ts'
import { type CliIo, exitCodes, write } from './io.ts'
import { type ReadFlags, addReadOptions, readOptionsOf } from './key-commands.ts'
import { addSessionOptions, runSession } from './session.ts'
import { bytesToJson, shorten, table, timestampToText } from './text.ts'

interface ScanFlags extends ReadFlags {
  readonly start?: string
  readonly end?: string
  readonly limit?: number
  readonly reverse?: boolean
  readonly keysOnly?: boolean
  readonly count?: boolean
}

const historyPageKeys = 100

export function addScanCommands(program: Command, context: CommandContext): void {
  addScan(program, context)
  addHistory(program, context)
}

function addScan(program: Command, { io, run }: CommandContext): void {
  const command = program.command('scan [prefix]').description('print keys in order, with their values')
  addValueForms(addKeyForms(addReadOptions(addSessionOptions(command))))
    .option('--start <key>', 'from this key on')
    .option('--end <key>', 'up to, not including, this key')
    .option('--limit <keys>', 'at most so many', parseWhole(1))
    .option('--reverse', 'from the largest key down')
    .option('--keys-only', 'no values')
    .option('--count', 'only how many there are')
    .action(
      run((prefix: string | undefined, flags: ScanFlags) => {
        const options = { ...readOptionsOf(flags), ...scanOptions(prefix, flags) }
        return runSession(io, flags, async ({ client, call, isJson, print }) => {
          if (flags.count === true) {
            const count = await client.count({ ...call, ...options })
            await print(`${count}\n`, { count })
          } else await printItems(io, client.scan({ ...call, ...options }), flags, isJson)
          return exitCodes.done
        })
      }),
    )
}

async function printItems(io: CliIo, items: AsyncIterable<KeyValue>, flags: ScanFlags, isJson: boolean): Promise<void> {
  const [keyForm, valueForm] = [keyFormOf(flags), valueFormOf(flags)]
  const withValues = flags.keysOnly !== true
  let escaped = 0
  // An array, one element a line: a program may parse it whole or read it line by line.
  let separator = '[\n'
  for await (const item of items) {
    if (isJson) {
      await write(io.stdout, `${separator}${JSON.stringify(itemToJson(item, withValues, flags))}`)
      separator = ',\n'
    } else {
      const key = showBytes(item.key, keyForm)
      if (keyForm === 'text' && key !== Buffer.from(item.key).toString()) escaped++
      const value = withValues ? `\t${showBytes(item.value, valueForm)}` : ''
      await write(io.stdout, `${key}${value}\n`)
    }
  }
  if (isJson) await write(io.stdout, separator === '[\n' ? '[]\n' : '\n]\n')
  if (escaped === 0 || io.stderr.isTTY !== true) return
  const keys = escaped === 1 ? '1 key is' : `${escaped} keys are`
  io.stderr.write(`(${keys} shown with escapes; with --key-base64 or --key-hex get and del take what scan shows)\n`)
}

function addHistory(program: Command, { io, run }: CommandContext): void {
  const command = program.command('history <key>').description("print a key's versions, newest first")
  addValueForms(addKeyForms(addSessionOptions(command)))
    .option('--limit <versions>', 'at most so many', parseWhole(1))
    .action(
      run((given: string, flags: ScanFlags) => {
        const key = parseBytes(given, keyFormOf(flags), 'KEY')
        return runSession(io, flags, async ({ client, call, print }) => {
          const limit = flags.limit ?? Number.POSITIVE_INFINITY
          const versions: HistoricVersion[] = []
          let before: number | undefined
          for (;;) {
            const wanted = Math.min(historyPageKeys, limit - versions.length)
            const older = before === undefined ? {} : { before }
            const page = await client.history(key, { ...call, limit: wanted, ...older })
            versions.push(...page.versions)
            before = page.versions.at(-1)?.timestamp
            if (!page.more || before === undefined || versions.length >= limit) break
          }
          await print(
            versions.length === 0 ? '' : historyTable(versions, flags),
            versions.map(version => ({ ...itemToJson(version, !version.deleted, flags), deleted: version.deleted })),
          )
          if (versions.length > 0) return exitCodes.done
          io.stderr.write(`quorate: no versions of ${showBytes(asBytes(key), keyFormOf(flags))}\n`)
          return exitCodes.no
        })
      }),
    )
}

function scanOptions(prefix: string | undefined, flags: ScanFlags): ScanOptions {
  const { start, end, limit, reverse, keysOnly } = flags
  const bytesOf = (given: string, name: string): string | Uint8Array => parseBytes(given, keyFormOf(flags), name)
  return {
    ...(prefix === undefined ? {} : { prefix: bytesOf(prefix, 'PREFIX') }),
    ...(start === undefined ? {} : { start: bytesOf(start, '--start') }),
    ...(end === undefined ? {} : { end: bytesOf(end, '--end') }),
    ...(limit === undefined ? {} : { limit }),
    ...(reverse === undefined ? {} : { reverse }),
    ...(keysOnly === undefined ? {} : { keysOnly }),
  }
}

function itemToJson(item: KeyValue, withValue: boolean, flags: ByteFlags): Record<string, unknown> {
  const { timestamp, created, version } = item
  const value = withValue ? bytesToJson('value', item.value, valueFormOf(flags)) : {}
  return { ...bytesToJson('key', item.key, keyFormOf(flags)), ...value, timestamp, created, version }
}

function historyTable(versions: readonly HistoricVersion[], flags: ByteFlags): string {
  const form = valueFormOf(flags)
  const show = (value: Uint8Array): string => showBytes(value, form)
  return table(
    [
      ['VERSION', 'right'],
      ['TIMESTAMP', 'right'],
      ['WRITTEN', 'left'],
      ['VALUE', 'left'],
    ],
    versions.map(({ version, timestamp, deleted, value }) => [
      deleted ? '-' : version,
      timestamp,
      timestampToText(timestamp),
      deleted ? '(deleted)' : form === 'text' ? shorten(show(value), 60) : show(value),
    ]),
  )
}
