import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { parseConfig } from '../../src/config.ts'

describe('configuration', () => {
  it('takes a flag before the environment, and that before the default', () => {
    expect(parseConfig({ node: 'a', listen: '127.0.0.1:1' }, { QUORATE_LISTEN: '127.0.0.1:2' }).listen.port).toBe(1)
    expect(parseConfig({ node: 'a' }, { QUORATE_LISTEN: '127.0.0.1:2' }).listen.port).toBe(2)
    expect(parseConfig({ node: 'a' }, {}).listen.port).toBe(7101)
  })

  it('shows every mistake at once, each with its remedy', () => {
    let error: unknown
    try {
      parseConfig(
        {
          node: 'N 1',
          listen: 'nowhere',
          peer: ['n2'],
          'election-timeout': '10',
          heartbeat: '900',
          set: ['limit.nothing=1'],
        },
        {},
      )
    } catch (caught) {
      error = caught
    }
    expect(isKvError(error, 'invalid-argument')).toBe(true)
    for (const part of [
      '--node',
      '--listen nowhere',
      '--peer n2',
      '--election-timeout 10',
      '--heartbeat 900',
      '--set limit.nothing=1',
    ])
      expect((error as Error).message).toContain(part)
  })

  const mistakesOf = (flags: Record<string, string | string[]>): string => {
    try {
      parseConfig({ node: 'n1', ...flags }, {})
    } catch (error) {
      if (isKvError(error, 'invalid-argument')) return error.message
    }
    return ''
  }

  it.each(['0.0.0.0', '[::]', '0', '0.0', '[0:0:0:0:0:0:0:0]', '[0::0]', '[::ffff:0:0]'])(
    'never tells others to dial %s: where it listens there, an address to advertise is asked for',
    host => {
      for (const [listen, advertise] of [
        ['listen', 'advertise'],
        ['peer-listen', 'peer-advertise'],
        ['http-listen', 'http-advertise'],
      ] as const) {
        const refused = mistakesOf({ [listen]: `${host}:7421` })
        expect(refused).toContain(`--${listen} ${host}:7421: it listens on every interface`)
        expect(refused).toContain(`others reach this node, such as --${advertise} n1:7421`)
        expect(refused.split('\n')).toHaveLength(1)
        expect(mistakesOf({ [listen]: `${host}:7421`, [advertise]: 'n1.example:7421' })).toBe('')
        expect(mistakesOf({ [advertise]: `${host}:7421` })).toMatch(/can be listened on, not dialled: give an address/)
      }
      expect(mistakesOf({ join: `127.0.0.1:1,${host}:7421` })).toMatch(/--join .* not dialled: give an address/)
      expect(mistakesOf({ peer: [`n2=${host}:7421`] })).toMatch(/--peer n2=.* not dialled: give an address/)
    },
  )

  it('has a port of its own for each listener, unless it takes any', () => {
    expect(mistakesOf({ listen: '[::1]:7421', 'peer-listen': '[::1]:7421', 'http-listen': '[::1]:7421' })).toBe(
      '--peer-listen [::1]:7421: --listen has this port already, give each its own\n' +
        '--http-listen [::1]:7421: --listen has this port already, give each its own',
    )
    expect(mistakesOf({ listen: '127.0.0.1:0', 'peer-listen': '127.0.0.1:0' })).toBe('')
    expect(mistakesOf({ listen: '127.0.0.1:7421', 'peer-listen': '127.0.0.2:7421' })).toBe('')
  })

  it('takes every address that can be dialled, and port 0 only to listen on', () => {
    for (const address of [
      '10.0.0.0:1',
      '0.0.0.1:1',
      '[::1]:1',
      '[fe80::0]:1',
      'zero:1',
      'n0.example:1',
      'localhost:1',
    ])
      expect(mistakesOf({ listen: address, advertise: address, join: address }), address).toBe('')
    expect(mistakesOf({ listen: '127.0.0.1:0' })).toBe('')
    for (const flag of ['advertise', 'peer-advertise', 'http-advertise', 'join'])
      expect(mistakesOf({ [flag]: 'n1:0' })).toMatch(/port 0 stands for any free port.*: give the port/)
    expect(mistakesOf({ peer: ['n2=n2:0'] })).toMatch(/give the port/)
  })

  it('reads peers, limits and addresses to join', () => {
    const config = parseConfig(
      { node: 'n1', peer: ['n2=127.0.0.1:9012'], join: '127.0.0.1:1,127.0.0.1:2', set: ['limit.logBytes=1000'] },
      {},
    )
    expect([...config.peers]).toEqual([['n2', '127.0.0.1:9012']])
    expect(config.join).toEqual(['127.0.0.1:1', '127.0.0.1:2'])
    expect(config.limits.logBytes).toBe(1000)
  })
})

describe('the file of --config', () => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-config-'))
  afterAll(() => rmSync(directory, { recursive: true }))
  const fileOf = (content: string | Uint8Array): string => {
    const path = join(directory, `${randomUUID()}.json`)
    writeFileSync(path, content)
    return path
  }
  const withFile = (content: unknown, env = {}) =>
    parseConfig({ config: fileOf(JSON.stringify({ node: 'n1', ...(content as object) })) }, env)

  it('takes the natural types of JSON', () => {
    const config = withFile({
      'election-timeout': 500,
      voters: 3,
      reflection: true,
      join: ['127.0.0.1:1', '127.0.0.1:2'],
      peer: { n2: '127.0.0.1:3' },
      set: { 'write.valueBytes': 2_097_152, gateway: { historyMax: 7 } },
    })
    expect(config).toMatchObject({ electionTimeoutMs: 500, votersTarget: 3, reflection: true })
    expect(config.join).toEqual(['127.0.0.1:1', '127.0.0.1:2'])
    expect([...config.peers]).toEqual([['n2', '127.0.0.1:3']])
    expect(config.limits.write.valueBytes).toBe(2_097_152)
    expect(config.limits.gateway.historyMax).toBe(7)
  })

  it('may begin with a byte order mark, and gives way to flags and the environment', () => {
    const config = fileOf('\ufeff{"node":"n1","voters":3,"heartbeat":50}')
    expect(parseConfig({ config, voters: '7' }, { QUORATE_HEARTBEAT: '60' })).toMatchObject({
      votersTarget: 7,
      heartbeatMs: 60,
    })
  })

  it.each([
    ['a name in another spelling', { peerListen: '127.0.0.1:1' }, /peerListen: no option.*peer-listen\?/],
    ['a slip', { 'elction-timeout': 1 }, /did you mean election-timeout\?/],
    ['a name like no other', { colour: 'red' }, /colour: .*there are node, data,/],
    ['null', { join: null }, /join null: an address is/],
    ['a number for an address', { listen: 7101 }, /listen 7101: an address is host:port/],
    ['a fraction', { 'election-timeout': 300.5 }, /election-timeout 300.5: whole milliseconds/],
    ['a text for a switch', { reflection: 'yes' }, /reflection yes: true or false/],
    ['an object for a name', { node: {} }, /node \{\}: a name is text/],
    ['an unknown limit', { set: { 'write.valueByte': 1 } }, /did you mean write.valueBytes\?/],
    ['a number that is no limit', { set: [1] }, /set 1: a limit is NAME=VALUE/],
  ])('refuses %s by name', (_what, content, message) => {
    expect(() => withFile(content)).toThrow(message)
  })

  it.each([
    ['nothing', '', /it is empty/],
    ['no JSON', '{node: n1}', /it is no JSON/],
    ['an array', '[]', /one JSON object/],
    ['another encoding', Buffer.from('{"node":"ä"}', 'latin1'), /not UTF-8/],
  ])('refuses %s', (_what, content, message) => {
    expect(() => parseConfig({ config: fileOf(content) }, {})).toThrow(message)
  })

  it('refuses a file that is not there, and says why', () => {
    expect(() => parseConfig({ config: join(directory, 'none.json') }, {})).toThrow(/cannot be read: ENOENT/)
  })
})

describe('the environment', () => {
  it('may have variables of others, but no slips', () => {
    expect(parseConfig({ node: 'n1' }, { QUORATE_SERVICE_HOST: '10.0.0.1', QUORATE_JOIN: '' }).join).toEqual([])
    expect(() => parseConfig({ node: 'n1' }, { QUORATE_PEER_LISTN: 'x:1' })).toThrow(/QUORATE_PEER_LISTEN\?/)
  })

  it('is named in the message of a mistake', () => {
    expect(() => parseConfig({ node: 'n1' }, { QUORATE_VOTERS: 'many' })).toThrow(
      'QUORATE_VOTERS many: a whole number from 1 to 9',
    )
  })
})
