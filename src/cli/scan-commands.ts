// scan and history: many keys, or many versions of one.

import type { Command } from 'commander'
import type { HistoricVersion, KeyValue, ScanOptions } from '../client/client.ts'
import { parseWhole } from './arguments.ts'
import type { CommandContext } from './cli.ts'
import { exitCodes, write } from './io.ts'
import { type ReadFlags, addReadOptions, readOptionsOf } from './key-commands.ts'
import { addSessionOptions, runSession } from './session.ts'
import { bytesToJson, bytesToLine, shorten, table, timestampToText } from './text.ts'

interface ScanFlags extends ReadFlags {
  readonly start?: string
  readonly end?: string
  readonly limit?: number
  readonly reverse?: boolean
  readonly keysOnly?: boolean
  readonly count?: boolean
}

const historyPageKeys = 100

export function addScanCommands(program: Command, { io, run }: CommandContext): void {
  addReadOptions(
    addSessionOptions(program.command('scan [prefix]').description('print keys in order, with their values')),
  )
    .option('--start <key>', 'from this key on')
    .option('--end <key>', 'up to, not including, this key')
    .option('--limit <keys>', 'at most so many', parseWhole(1))
    .option('--reverse', 'from the largest key down')
    .option('--keys-only', 'no values')
    .option('--count', 'only how many there are')
    .action(
      run((prefix: string | undefined, flags) =>
        runSession(io, flags, async ({ client, isJson, call, print }) => {
          const options = { ...call, ...readOptionsOf(flags as ScanFlags), ...scanOptions(prefix, flags as ScanFlags) }
          if ((flags as ScanFlags).count === true) {
            const count = await client.count(options)
            await print(`${count}\n`, { count })
            return exitCodes.done
          }
          const withValues = options.keysOnly !== true
          // An array, one element a line: a program may parse it whole or read it line by line.
          let separator = '[\n'
          for await (const item of client.scan(options)) {
            if (isJson) {
              await write(io.stdout, `${separator}${JSON.stringify(itemToJson(item, withValues))}`)
              separator = ',\n'
            } else {
              const value = withValues ? `\t${bytesToLine(item.value)}` : ''
              await write(io.stdout, `${bytesToLine(item.key)}${value}\n`)
            }
          }
          if (isJson) await write(io.stdout, separator === '[\n' ? '[]\n' : '\n]\n')
          return exitCodes.done
        }),
      ),
    )

  addSessionOptions(program.command('history <key>').description("print a key's versions, newest first"))
    .option('--limit <versions>', 'at most so many', parseWhole(1))
    .action(
      run((key: string, flags) =>
        runSession(io, flags, async ({ client, call, print }) => {
          const limit = (flags as ScanFlags).limit ?? Number.POSITIVE_INFINITY
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
            versions.length === 0 ? '' : historyTable(versions),
            versions.map(version => ({ ...itemToJson(version, !version.deleted), deleted: version.deleted })),
          )
          if (versions.length > 0) return exitCodes.done
          io.stderr.write(`quorate: no versions of ${key}\n`)
          return exitCodes.no
        }),
      ),
    )
}

function scanOptions(prefix: string | undefined, flags: ScanFlags): ScanOptions {
  const { start, end, limit, reverse, keysOnly } = flags
  return {
    ...(prefix === undefined ? {} : { prefix }),
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
    ...(limit === undefined ? {} : { limit }),
    ...(reverse === undefined ? {} : { reverse }),
    ...(keysOnly === undefined ? {} : { keysOnly }),
  }
}

function itemToJson(item: KeyValue, withValue: boolean): Record<string, unknown> {
  const { timestamp, created, version } = item
  const value = withValue ? bytesToJson('value', item.value) : {}
  return { ...bytesToJson('key', item.key), ...value, timestamp, created, version }
}

function historyTable(versions: readonly HistoricVersion[]): string {
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
      deleted ? '(deleted)' : shorten(bytesToLine(value), 60),
    ]),
  )
}
