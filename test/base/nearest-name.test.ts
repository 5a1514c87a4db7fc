import { describe, expect, it } from 'vitest'
import { didYouMean, nearestName } from '../../src/base/nearest-name.ts'

const names = ['listen', 'peer-listen', 'election-timeout', 'set']

describe('the nearest name', () => {
  it.each([
    ['peerListen', 'peer-listen'],
    ['PEER_LISTEN', 'peer-listen'],
    ['lsiten', 'listen'],
    ['electon-timeuot', 'election-timeout'],
    ['sett', 'set'],
    ['colour', undefined],
    ['x', undefined],
    ['', undefined],
  ])('to %j is %j', (given, expected) => {
    expect(nearestName(given, names)).toBe(expected)
  })

  it('is told in brackets, or not at all', () => {
    expect(didYouMean('lisen', names)).toBe(' (did you mean listen?)')
    expect(didYouMean('colour', names)).toBe('')
  })
})
