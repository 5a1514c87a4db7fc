import { describe, expect, it } from 'vitest'
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
