import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { runtimeEnvironment, runtimeOptions } from '../../src/cli/runtime-options.ts'
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

describe('keys', () => {
  test("get prints the value's bytes and nothing else", async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 128])
    writeFileSync(join(directory, 'value'), bytes)
    expect((await cli(['put', 'k', `@${join(directory, 'value')}`])).code).toBe(0)
    expect(await cli(['get', 'k'])).toEqual({ code: 0, out: bytes, err: '' })
    expect(json(await cli(['get', 'k', '-o', 'json']))).toMatchObject({ key: 'k', valueBase64: 'AP8KDYA=', version: 1 })
    expect((await cli(['put', 'k', '-'], { stdin: 'from stdin' })).code).toBe(0)
    expect((await cli(['get', 'k', '--stale'])).out.toString()).toBe('from stdin')
    expect((await cli(['put', 'k', '@@at'])).code).toBe(0)
    expect((await cli(['get', 'k'])).out.toString()).toBe('@at')
  })

  test('on a terminal a value ends with a new line, and everywhere else with its last byte', async () => {
    for (const value of ['v', 'v\n', '']) {
      await cli(['put', 'k', value])
      expect((await cli(['get', 'k'])).out.toString()).toBe(value)
      expect((await cli(['get', 'k'], { isTTY: true })).out.toString()).toBe(value === 'v\n' ? value : `${value}\n`)
    }
    await cli(['put', 'k', '-'], { stdin: Buffer.of(0xff) })
    expect((await cli(['get', 'k'])).out).toEqual(Buffer.of(0xff))
  })

  test('a long deletion shows its progress on a terminal, and how far it came when it fails', async () => {
    cluster.deleteLimit = 2
    for (let i = 0; i < 5; i++) await cli(['put', `p/${i}`, 'v'])
    const shown = await cli(['del', '--prefix', 'p/'], { isTTY: true })
    expect(shown.err).toMatch(/deleted 2 keys.*deleted 4 keys.*deleted 5 keys/s)
    expect(shown.out.toString()).toBe('deleted 5 keys\n')
    for (let i = 0; i < 5; i++) await cli(['put', `p/${i}`, 'v'])
    let deletions = 0
    cluster.verdict = batch => {
      const isDeletion = batch.decoded?.writes.some(write => write.deleteRange) ?? false
      return isDeletion && ++deletions > 1 ? new KvError('disk-full', 'no room') : 'answer'
    }
    try {
      const failed = await cli(['del', '--prefix', 'p/'])
      expect([failed.code, failed.err]).toEqual([3, expect.stringContaining('2 keys were deleted before')])
      const asJson = await cli(['del', '--prefix', 'p/', '-o', 'json'])
      expect(JSON.parse(asJson.err)).toMatchObject({ error: { details: { deleted: '0' } } })
    } finally {
      cluster.verdict = () => 'answer'
    }
  })

  test('an absent key is a no: exit 1', async () => {
    const absent = await cli(['get', 'nothing'])
    expect(absent).toEqual({ code: 1, out: Buffer.alloc(0), err: 'quorate: no such key: nothing\n' })
    const asJson = await cli(['get', 'nothing', '-o', 'json'])
    expect([asJson.code, json(asJson), asJson.err]).toEqual([1, null, ''])
    expect((await cli(['del', 'nothing'])).code).toBe(1)
    expect((await cli(['history', 'nothing'])).code).toBe(1)
  })

  test('get at an instant: a timestamp, a date, or some time ago', async () => {
    const put = json(await cli(['put', 'k', 'old', '-o', 'json'])) as { timestamp: number; version: number }
    expect(put.version).toBe(1)
    await cli(['put', 'k', 'new'])
    expect((await cli(['get', 'k', '--at', String(put.timestamp)])).out.toString()).toBe('old')
    expect((await cli(['get', 'k', '--at', '-30s'])).code).toBe(1)
    expect((await cli(['get', 'k', '--at', '2024-02-03'])).code).toBe(1)
    const wrong = await cli(['get', 'k', '--at', 'yesterday'])
    expect(wrong.code).toBe(2)
    expect(wrong.err).toContain('-30s')
  })

  test('cas: exit 0 when swapped, 1 when not', async () => {
    expect((await cli(['cas', '--absent', 'k', 'a'])).code).toBe(0)
    expect((await cli(['cas', '--absent', 'k', 'b'])).code).toBe(1)
    expect((await cli(['cas', 'k', 'a', 'c'])).code).toBe(0)
    const failed = await cli(['cas', 'k', 'a', 'd', '-o', 'json'])
    expect([failed.code, json(failed)]).toMatchObject([1, { swapped: false }])
    expect((await cli(['cas', 'k', 'a'])).code).toBe(2)
    expect((await cli(['get', 'k'])).out.toString()).toBe('c')
  })

  test('del takes a key, a range or a prefix', async () => {
    for (const key of ['a', 'b/1', 'b/2', 'b/3', 'b/4', 'b/5', 'c', 'd']) await cli(['put', key, 'v'])
    expect((await cli(['del', 'a'])).out.toString()).toBe('deleted\n')
    expect(json(await cli(['del', '--prefix', 'b/', '-o', 'json']))).toEqual({ deleted: 5 })
    expect((await cli(['del', 'c', '--range', 'd'])).out.toString()).toBe('deleted 1 key\n')
    expect((await cli(['scan', '--keys-only'])).out.toString()).toBe('d\n')
    expect((await cli(['del'])).code).toBe(2)
    expect((await cli(['del', 'x', '--prefix', 'y'])).code).toBe(2)
  })

  test.each<[string[], string]>([
    [['--all'], ''],
    [['--prefix', 'b/'], 'a c d'],
    [['b/2', '--range', 'c'], 'a b/1 c d'],
    [['c', '--to-end'], 'a b/1 b/2'],
    [['--from-start', '--range', 'b/2'], 'b/2 c d'],
  ])('del %j deletes that span', async (argv, left) => {
    for (const key of ['a', 'b/1', 'b/2', 'c', 'd']) await cli(['put', key, 'v'])
    expect((await cli(['del', ...argv])).code).toBe(0)
    expect((await cli(['scan', '--keys-only'])).out.toString().trim().replaceAll('\n', ' ')).toBe(left)
  })

  test.each<[string[], string]>([
    [[], 'del --all'],
    [[''], 'KEY is empty'],
    [['--prefix', ''], '--prefix is empty'],
    [['', '--range', ''], 'is empty'],
    [['a', '--range', ''], '--range is empty'],
    [['', '--range', 'b'], 'KEY is empty'],
    [['--range', 'z'], 'what to delete?'],
    [['--to-end'], 'what to delete?'],
    [['--from-start'], 'what to delete?'],
    [['--from-start', '--to-end'], 'what to delete?'],
    [['a', '--all'], 'what to delete?'],
    [['--prefix', 'a', '--all'], 'what to delete?'],
    [['a', '--prefix', 'b'], 'what to delete?'],
    [['a', '--range', 'b', '--to-end'], 'what to delete?'],
    [['b', '--range', 'a'], 'before it starts'],
  ])('del %j deletes nothing', async (argv, message) => {
    for (const key of ['a', 'b', 'c']) await cli(['put', key, 'v'])
    const result = await cli(['del', ...argv])
    expect([result.code, result.err]).toEqual([2, expect.stringContaining(message)])
    expect((await cli(['scan', '--count'])).out.toString()).toBe('3\n')
  })

  test('scan prints lines for people and an array for programs', async () => {
    for (const key of ['a', 'b/1', 'b/2', 'b/3', 'b/4', 'tab\tkey']) await cli(['put', key, `of ${key}`])
    expect((await cli(['scan', 'b/', '--limit', '2'])).out.toString()).toBe('b/1\tof b/1\nb/2\tof b/2\n')
    expect((await cli(['scan', '--start', 'b/3', '--reverse', '--keys-only'])).out.toString()).toBe(
      'tab\\tkey\nb/4\nb/3\n',
    )
    expect((await cli(['scan', '--end', 'b/4', '--count'])).out.toString()).toBe('4\n')
    expect(json(await cli(['scan', '--count', '-o', 'json']))).toEqual({ count: 6 })
    const items = json(await cli(['scan', 'b/', '-o', 'json'])) as { key: string; value: string; version: number }[]
    expect(items.map(item => [item.key, item.value, item.version])).toEqual(
      ['b/1', 'b/2', 'b/3', 'b/4'].map(key => [key, `of ${key}`, 1]),
    )
    expect(json(await cli(['scan', 'none', '-o', 'json']))).toEqual([])
  })

  test('history lists versions newest first', async () => {
    await cli(['put', 'k', 'one'])
    await cli(['put', 'k', 'two'])
    await cli(['del', 'k'])
    const versions = json(await cli(['history', 'k', '-o', 'json'])) as { version: number; deleted: boolean }[]
    expect(versions.map(({ version, deleted }) => [version, deleted])).toEqual([
      [0, true],
      [2, false],
      [1, false],
    ])
    expect((await cli(['history', 'k'])).out.toString()).toMatch(/VERSION.*\n.*\(deleted\)\n +2 .*two\n +1 .*one\n$/)
    expect(json(await cli(['history', 'k', '--limit', '1', '-o', 'json']))).toHaveLength(1)
  })
})

describe('the cluster', () => {
  test('status -o json has the shape that scripts rely on', async () => {
    const status = json(await cli(['status', '-o', 'json']))
    expect(status).toMatchObject({
      nodes: cluster.nodes.map(node => ({ id: node.name, address: node.address, live: true })),
      ranges: [
        {
          id: 1,
          leader: 'n1',
          term: 3,
          commit: 12,
          replicas: cluster.nodes.map(node => ({ node: node.name, role: 'voter', applied: 12, hash: 'ab' })),
        },
      ],
    })
    const text = (await cli(['status'])).out.toString()
    expect(text).toMatch(/NODE +STATE +CLIENTS/)
    expect(text).toContain('range 1: n1 leads, term 3, commit 12')
    expect(text).toMatch(/n1 +voter, leads +12 +ab/)
  })

  test("status counts users' keys apart from the system's", async () => {
    for (const key of ['a', 'b', 'c']) await cli(['put', key, 'v'])
    expect(json(await cli(['status', '-o', 'json']))).toMatchObject({ ranges: [{ keyCount: 3, systemKeyCount: 2 }] })
    expect((await cli(['status'])).out.toString()).toContain('3 keys, 2 of the system')
  })

  test('status without a leader is exit 3, with all that is known', async () => {
    const { leader } = cluster
    cluster.leader = ''
    try {
      const status = await cli(['status', '-o', 'json'])
      expect([status.code, status.err]).toEqual([3, 'quorate: range 1 has no leader\n'])
      expect(json(status)).toMatchObject({ ranges: [{ leader: '' }] })
      expect((await cli(['status'])).out.toString()).toContain('range 1: no leader')
    } finally {
      cluster.leader = leader
    }
  })

  test('nodes, members and the leader', async () => {
    expect(json(await cli(['nodes', '-o', 'json']))).toHaveLength(3)
    expect((await cli(['member', 'add', 'n3', '127.0.0.1:7203'])).out.toString()).toMatch(/n3 +learner/)
    expect((await cli(['member', 'promote', 'n3'])).code).toBe(0)
    const missing = await cli(['member', 'remove', 'n9'])
    expect([missing.code, missing.err]).toEqual([1, 'quorate: no node n9 (not-found)\n'])
    expect((await cli(['leader', 'transfer', 'n2'])).out.toString()).toBe('n2 leads\n')
    expect(json(await cli(['leader', 'transfer', 'n1', '-o', 'json']))).toEqual({ leader: 'n1' })
    const again = await cli(['init', '-o', 'json'])
    expect(again.code).toBe(1)
    expect(JSON.parse(again.err)).toMatchObject({ error: { code: 'already-initialised' } })
  })

  test('checksum waits for all replicas, tells of each, and exits 1 unless all are equal', async () => {
    const equal = await cli(['checksum'])
    expect([equal.code, equal.out.toString()]).toEqual([
      0,
      'as of entry 77\nREPLICA  VERDICT\nn1       equal\nn2       equal\n',
    ])
    cluster.lastVerdict = 'differs: quarantined, is being rebuilt'
    const unequal = await cli(['checksum', '-o', 'json'])
    expect([unequal.code, json(unequal)]).toEqual([
      1,
      {
        index: 77,
        equal: false,
        replicas: [
          { node: 'n1', replicaId: 1, equal: true, verdict: 'equal' },
          { node: 'n2', replicaId: 2, equal: false, verdict: 'differs: quarantined, is being rebuilt' },
        ],
      },
    ])
    cluster.lastVerdict = 'equal'
    // Too little time for a second look.
    const early = await cli(['checksum', '--timeout', '400'])
    expect([early.code, early.out.toString()]).toEqual([1, expect.stringContaining('could not compare')])
  })

  test('bench says how fast it was', async () => {
    const flags = ['--callers', '4', '--seconds', '0.2', '--keys', '10', '--workload', 'mixed']
    const result = json(await cli(['bench', ...flags, '-o', 'json'])) as Record<string, number>
    expect(result).toMatchObject({ workload: 'mixed', callers: 4, errors: 0 })
    expect(result['operations']).toBeGreaterThan(0)
    expect(result['p99Ms']).toBeGreaterThanOrEqual(result['p50Ms'] ?? Number.NaN)
    expect((await cli(['bench', '--workload', 'walk'])).code).toBe(2)
  })
})

describe('mistakes', () => {
  test.each([
    [['gett', 'k'], 'Did you mean get?'],
    [['get', 'k', '--stal'], 'Did you mean --stale?'],
    [['get'], "missing required argument 'key'"],
    [['get', 'a', 'b'], 'too many arguments'],
    [['put', 'k', '@/no/such/file'], 'cannot read /no/such/file'],
    [['get', 'k', '--connect', 'http://x'], 'quorate://'],
    [['get', 'k', '-o', 'yaml'], 'text, json'],
    [['scan', '--limit', 'many'], 'whole number'],
    [['put', '', 'v'], 'at least one byte'],
    [['member', 'ad'], 'Did you mean add?'],
    [['start', '--nod', 'n1'], 'Did you mean --node?'],
    [['start', '--listen', 'nowhere'], 'host:port'],
    [['get', 'k', '--colour'], 'get takes --connect, --timeout, --output, --at'],
    [['scan', '--keysonly'], '--keys-only'],
    [['del', '--prefx', 'a'], '--prefix'],
    [['delete', 'k'], 'del'],
    [['list'], 'quorate calls it scan'],
    [['set', 'k', 'v'], 'quorate calls it put'],
    [['version'], 'quorate calls it --version'],
    [['xyzzy'], 'there are start, get'],
    [['member', 'xyzzy'], 'there are add, promote, remove'],
    [['completion', 'tcsh'], 'bash, zsh, fish'],
    [[], 'Usage: quorate'],
  ])('%j is wrong usage, and the message helps', async (argv, message) => {
    const result = await cli(argv)
    expect(result.err).toContain(message)
    expect([result.code, result.out.toString()]).toEqual([2, ''])
  })

  test('help and version are no mistakes', async () => {
    for (const argv of [['--help'], ['get', '--help'], ['help', 'put'], ['--version']]) {
      const result = await cli(argv)
      expect([result.code, result.err]).toEqual([0, ''])
      expect(result.out.length).toBeGreaterThan(4)
    }
  })

  test('nobody there is exit 3', async () => {
    const result = await cli(['put', 'a', 'b', '--timeout', '100'], { url: 'quorate://127.0.0.1:1' })
    expect(result.code).toBe(3)
    expect(result.err).toContain('the node does not answer; last: ')
    expect(result.err).toContain('127.0.0.1:1 cannot be reached')
    expect(result.err).toContain('Is the cluster running?')
  })

  test('nodes that answer without a leader are told from a cluster that is not there', async () => {
    const { leader } = cluster
    cluster.leader = ''
    cluster.verdict = () => new KvError('unavailable', 'no leader')
    try {
      const result = await cli(['put', 'a', 'b', '--timeout', '100'])
      expect(result.code).toBe(3)
      expect(result.err).toContain('3 of 3 nodes answer, but none of them leads')
      expect(result.err).not.toContain('Is the cluster running?')
    } finally {
      cluster.leader = leader
      cluster.verdict = () => 'answer'
    }
  })

  test('an unknown outcome is exit 3, and says so', async () => {
    cluster.verdict = () => 'lose-answer'
    try {
      const result = await cli(['put', 'a', 'b', '--timeout', '1000'])
      expect(result.code).toBe(3)
      expect(result.err).toContain('unknown-outcome')
    } finally {
      cluster.verdict = () => 'answer'
    }
  })
})

describe('the process', () => {
  const launcher = fileURLToPath(new URL('../../src/quorate.js', import.meta.url))

  test('runs under the same options by its own name, in the image and in a local cluster', () => {
    const [firstLine] = readFileSync(launcher, 'utf8').split('\n')
    const settings = Object.entries(runtimeEnvironment).map(([name, value]) => `${name}=${value}`)
    expect(firstLine).toBe(`#!/usr/bin/env -S ${settings.join(' ')} node ${runtimeOptions.join(' ')}`)
    // Linux before 5.1 cuts the line off after 127 characters.
    expect(firstLine?.length).toBeLessThanOrEqual(127)
    const image = readFileSync(new URL('../../docker/Dockerfile', import.meta.url), 'utf8')
    const entryPoint = ['node', ...runtimeOptions, 'dist/src/main.js'].map(word => JSON.stringify(word)).join(', ')
    expect(image).toContain(`ENTRYPOINT [${entryPoint}]`)
    for (const setting of settings) expect(image).toContain(`  ${setting} \\\n`)
  })

  const run = (argv: readonly string[], stdin = ''): Promise<Result> =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, QUORATE_URL: cluster.url }
      const child = spawn(process.execPath, [launcher, ...argv], { env, stdio: 'pipe' })
      const out: Buffer[] = []
      const err: Buffer[] = []
      child.stdout.on('data', chunk => out.push(chunk))
      child.stderr.on('data', chunk => err.push(chunk))
      child.on('error', reject)
      child.on('close', code =>
        resolve({ code: code ?? -1, out: Buffer.concat(out), err: Buffer.concat(err).toString() }),
      )
      child.stdin.end(stdin)
    })

  test('puts from stdin and gets to stdout, with exit codes', { timeout: 20_000 }, async () => {
    const value = 'x'.repeat(300_000)
    expect((await run(['put', 'big', '-'], value)).code).toBe(0)
    const got = await run(['get', 'big'])
    expect([got.code, got.out.toString() === value, got.err]).toEqual([0, true, ''])
    expect((await run(['get', 'absent'])).code).toBe(1)
    expect((await run(['gett'])).code).toBe(2)
  })
})
