import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'
import { type CliOptions, type Result, runWith } from '../support/run-cli.ts'

let cluster: FakeKvCluster
let directory: string

beforeAll(async () => {
  cluster = await startFakeKvCluster(3)
  directory = mkdtempSync(join(tmpdir(), 'quorate-cli-'))
})
afterAll(async () => {
  await cluster[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true })
})
beforeEach(() => cluster.data.clear())

const cli = (argv: readonly string[], options: CliOptions = {}): Promise<Result> =>
  runWith(argv, { url: cluster.url, ...options })
const json = (result: Result): unknown => JSON.parse(result.out.toString())

describe('keys and values that are no text', () => {
  test.each(['base64', 'hex'] as const)(
    'what is no text goes in and out as %s, and can be deleted as shown',
    async form => {
      const keys = [
        Buffer.of(0xff, 0, 1),
        Buffer.from('text'),
        Buffer.from('\ufeffbom'),
        Buffer.from('b\\c'),
        Buffer.of(0),
      ]
      const [key, value] = [`--key-${form}`, `--value-${form}`]
      for (const bytes of keys) {
        const put = await cli(['put', key, value, bytes.toString(form), Buffer.of(0xfe, ...bytes).toString(form)])
        expect([put.code, put.err]).toEqual([0, ''])
      }
      const lines = (await cli(['scan', key, value])).out.toString().trimEnd().split('\n')
      expect(lines).toHaveLength(keys.length)
      const field = form === 'hex' ? 'Hex' : 'Base64'
      for (const line of lines) {
        const [shown = '', shownValue] = line.split('\t')
        expect(keys.map(bytes => bytes.toString(form))).toContain(shown)
        expect((await cli(['get', key, value, shown])).out.toString()).toBe(`${shownValue}\n`)
        const asJson = json(await cli(['get', key, value, shown, '-o', 'json'])) as Record<string, unknown>
        expect([asJson[`key${field}`], asJson[`value${field}`]]).toEqual([shown, shownValue])
        expect((await cli(['history', key, value, shown])).out.toString()).toContain(shownValue)
        expect((await cli(['scan', key, shown, '--count'])).out.toString()).toBe('1\n')
        expect((await cli(['cas', key, value, shown, shownValue ?? '', shown])).code).toBe(0)
        expect((await cli(['del', key, shown])).code).toBe(0)
        const gone = await cli(['get', key, shown])
        expect([gone.code, gone.err]).toEqual([1, `quorate: no such key: ${shown}\n`])
      }
      for (const bytes of keys) await cli(['put', key, bytes.toString(form), 'v'])
      const [start, end] = [Buffer.of(0), Buffer.from('c')].map(bytes => bytes.toString(form)) as [string, string]
      expect(json(await cli(['del', key, start, '--range', end, '-o', 'json']))).toEqual({ deleted: 2 })
      expect(json(await cli(['del', key, '--prefix', Buffer.of(0xff).toString(form), '-o', 'json']))).toEqual({
        deleted: 1,
      })
      expect((await cli(['scan', '--count'])).out.toString()).toBe('2\n')
    },
  )

  test('a value of standard input or a file is in the form that was asked for, too', async () => {
    await cli(['put', 'k', '-', '--value-base64'], { stdin: '/w==\n' })
    expect((await cli(['get', 'k'])).out).toEqual(Buffer.of(0xff))
    writeFileSync(join(directory, 'hex'), 'ff\n00\n')
    await cli(['put', 'k', `@${join(directory, 'hex')}`, '--value-hex'])
    expect((await cli(['get', 'k'])).out).toEqual(Buffer.of(0xff, 0))
  })

  test.each<[string[], string]>([
    [['get', 'lat\ufffd'], 'KEY holds bytes that are no UTF-8, which are lost on the way: give it by --key-base64'],
    [['put', 'lat\ufffd', 'v'], 'KEY holds bytes'],
    [['put', 'k', 'lat\ufffd'], 'VALUE holds bytes that are no UTF-8, which are lost on the way: give it by --value-'],
    [['put', 'k', 'lat\ufffd'], 'standard input (-)'],
    [['cas', 'k', 'lat\ufffd', 'v'], 'EXPECTED holds bytes'],
    [['cas', 'k', 'v', 'lat\ufffd'], 'NEW holds bytes'],
    [['del', 'lat\ufffd'], 'KEY holds bytes'],
    [['del', '--prefix', 'lat\ufffd'], '--prefix holds bytes'],
    [['del', 'a', '--range', 'lat\ufffd'], '--range holds bytes'],
    [['scan', 'lat\ufffd'], 'PREFIX holds bytes'],
    [['scan', '--start', 'lat\ufffd'], '--start holds bytes'],
    [['scan', '--end', 'lat\ufffd'], '--end holds bytes'],
    [['history', 'lat\ufffd'], 'KEY holds bytes'],
    [['get', 'abc', '--key-hex'], 'KEY is no hex'],
    [['get', 'zz', '--key-hex'], 'KEY is no hex'],
    [['get', 'a*==', '--key-base64'], 'KEY is no base64'],
    [['get', 'YR==', '--key-base64'], 'KEY is no base64'],
    [['get', 'Y', '--key-base64'], 'KEY is no base64'],
    [['put', 'k', 'x y', '--value-base64'], 'VALUE is no base64'],
    [['get', '', '--key-base64'], 'at least one byte'],
    [['del', '--prefix', '', '--key-base64'], '--prefix is empty'],
    [['get', 'k', '--key-hex', '--key-base64'], 'cannot be used with'],
    [['put', 'k', 'v', '--timeout', '115001'], '1 to 115000'],
    [['get', 'k', '--timeout', '900001'], '1 to 900000'],
    [['get', 'k', '--timeout', 'Infinity'], '1 to 900000'],
    [['get', 'k', '--at', '1796071372'], 'write 2026-11-30T20:42:52.000Z'],
    [['get', 'k', '--at', '1796071372459'], 'write 2026-11-30T20:42:52.459Z'],
    [['get', 'k', '--at', '2026-02-30'], 'It is a date'],
    [['get', 'k', '--at', '+5m'], 'It is a date'],
  ])('%j is refused before anything is sent', async (argv, message) => {
    const before = cluster.batches.length
    const result = await cli(argv)
    expect([result.code, result.err]).toEqual([2, expect.stringContaining(message)])
    expect(cluster.batches.length).toBe(before)
  })

  test('lines cannot drive a terminal, and each shows one key only', async () => {
    const keys = [
      '\u001b[31mred',
      'new\nline',
      '\u202egpj',
      'zero\u200bwidth',
      'next\u0085line',
      'back\\slash',
      'caf\u00e9',
    ]
    for (const key of keys) await cli(['put', key, 'v'])
    expect((await cli(['scan', '--keys-only'])).out.toString().trimEnd().split('\n')).toEqual([
      '\\x1b[31mred',
      'back\\\\slash',
      'caf\u00e9',
      'new\\nline',
      'next\\xc2\\x85line',
      'zero\\xe2\\x80\\x8bwidth',
      '\\xe2\\x80\\xaegpj',
    ])
    const onTerminal = await cli(['scan', '--keys-only'], { isTTY: true })
    expect(onTerminal.err).toContain('6 keys are shown with escapes; with --key-base64 or --key-hex')
    expect((await cli(['scan', '--keys-only', '--key-hex'], { isTTY: true })).err).toBe('')
  })
})
