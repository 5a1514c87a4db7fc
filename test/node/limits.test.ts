import { describe, expect, it } from 'vitest'
import { isKvError } from '../../src/base/errors.ts'
import { parseConfig } from '../../src/config.ts'
import { defaultLimits } from '../../src/node-limits.ts'
import { kvService } from '../../src/server/kv-service.ts'
import { TestClient, failureOf } from '../support/grpc-client.ts'
import { LocalNodes } from '../support/local-nodes.ts'

const limitsOf = (...set: string[]) => parseConfig({ node: 'n1', set }, {}).limits
const mistakeOf = (...set: string[]): string => {
  try {
    limitsOf(...set)
  } catch (error) {
    if (isKvError(error, 'invalid-argument')) return error.message
  }
  throw new Error('it was taken')
}

describe('limits', () => {
  it('of every layer are set by name, and only the one that is named', () => {
    expect(limitsOf()).toEqual(defaultLimits)
    for (const layer of ['write', 'gateway', 'server'] as const)
      for (const name of Object.keys(defaultLimits[layer])) {
        const limits = limitsOf(`limit.${layer}.${name}=7`)[layer] as unknown as Record<string, number>
        expect(limits, `${layer}.${name}`).toEqual({ ...defaultLimits[layer], [name]: 7 })
      }
  })

  it('of the gateway and the client port follow the leader’s, unless they are set themselves', () => {
    const limits = limitsOf('limit.write.requestBytes=5000000', 'limit.write.keyBytes=10', 'gateway.keyBytesMax=5')
    expect([limits.gateway.requestBytesMax, limits.server.requestBytesMax]).toEqual([5_000_000, 5_000_000])
    expect(limits.gateway.keyBytesMax).toBe(5)
  })

  it('that do not exist, or make no sense, are refused with what there is', () => {
    const unknown = mistakeOf('limit.keyByte=1')
    for (const name of ['logBytes', 'write.keyBytes', 'gateway.historyMax', 'server.slowReaderMs'])
      expect(unknown).toContain(name)
    expect(mistakeOf('limit.write=1')).toContain('no limit by that name')
    for (const value of ['', '=', '=0', '=-1', '=1.5', '=many'])
      expect(mistakeOf(`limit.write.keyBytes${value}`)).toContain('a whole number above 0')
    expect(mistakeOf('server.slowReaderMs=2147483648')).toContain('at most 2147483647 milliseconds')
    expect(mistakeOf('rowCacheBytes=1000')).toContain('from 1048576 to 1073741824')
    expect(mistakeOf('write.requestBytes=16000000')).toContain('peers could not receive an entry')
  })

  it('reach the layer that keeps them', async () => {
    const set = ['write.valueBytes=3000', 'gateway.valueBytesMax=5000', 'server.responseBytesMax=1000'].map(
      item => `limit.${item}`,
    )
    await using nodes = await LocalNodes.cluster({ size: 1, flags: { set } })
    const client = nodes.client()
    await client.put('k', 'x'.repeat(2_000))
    const limitOf = async (call: Promise<unknown>): Promise<unknown> => {
      const error = await call.then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      return isKvError(error, 'too-large') ? (error.details.limit ?? error.message) : error
    }
    expect(await limitOf(client.put('k', 'x'.repeat(4_000)))).toBe('valueBytes')
    // Batches go through the gateway as they are: it looks into single puts.
    const raw = new TestClient(Number(String(nodes.flagsOf('n1').listen).split(':').at(-1)))
    const op = { key: Buffer.from('k'), value: Buffer.alloc(6_000) }
    const { typed } = await failureOf(raw.unary(kvService.Put, { op }))
    raw.close()
    expect(typed?.details).toMatchObject({ limit: 'valueBytesMax', limitValue: '5000' })
    expect(await limitOf(client.get('k'))).toBe('responseBytesMax')
  }, 30_000)
})
