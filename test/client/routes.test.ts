import { describe, expect, test } from 'vitest'
import { Routes } from '../../src/client/routes.ts'

describe('routes', () => {
  test('nodes are taken in turn, suspects are passed over until they are all there is', () => {
    const routes = new Routes(['a:1', 'b:1', 'c:1'], 0)
    expect([routes.pickAny(0), routes.pickAny(0), routes.pickAny(0), routes.pickAny(0)]).toEqual([
      'b:1',
      'c:1',
      'a:1',
      'b:1',
    ])
    routes.failed('c:1', 0)
    expect([routes.pickAny(0), routes.pickAny(0)]).toEqual(['a:1', 'b:1'])
    routes.failed('a:1', 10)
    routes.failed('b:1', 20)
    expect(routes.pickAny(30)).toBe('c:1')
    expect(routes.pickAny(10_000)).not.toBe('')
  })

  test('the leader is preferred while it answers', () => {
    const routes = new Routes(['a:1', 'b:1'], 0)
    routes.answeredBy('n1', 'a:1')
    routes.leaderTo('n1')
    expect([routes.pickLeader(0), routes.pickLeader(0)]).toEqual(['a:1', 'a:1'])
    routes.failed('a:1', 0)
    expect([routes.leader, routes.pickLeader(0)]).toEqual(['', 'b:1'])
    // A follower that has not noticed yet names it again: it stays suspect.
    expect(routes.maybeLeaderIs({ node: 'n2', leader: 'n1' }, 'b:1', 0)).toBe(true)
    expect(routes.pickLeader(0)).toBe('b:1')
    expect(routes.pickLeader(5000)).toBe('a:1')
  })

  test('a suspect that answers is trusted again at once', () => {
    const routes = new Routes(['a:1', 'b:1'], 0)
    routes.failed('a:1', 0)
    routes.answeredBy('n1', 'a:1')
    routes.leaderTo('n1')
    expect(routes.pickLeader(0)).toBe('a:1')
  })

  test('a node that is cut off cannot talk the client out of a leader that answers', () => {
    const routes = new Routes(['a:1', 'b:1', 'c:1'], 0)
    for (const [i, address] of ['a:1', 'b:1', 'c:1'].entries()) routes.answeredBy(`n${i + 1}`, address)
    routes.leaderTo('n1')
    expect(routes.maybeLeaderIs({ node: 'n3', leader: 'n2' }, 'c:1', 0)).toBe(false)
    expect(routes.maybeLeaderIs({ node: 'n1', leader: '' }, 'a:1', 0)).toBe(false)
    expect(routes.maybeLeaderIs({ node: 'n2', leader: 'n2' }, 'b:1', 0)).toBe(true)
    expect(routes.maybeLeaderIs({ node: 'n2', leader: 'n3' }, 'b:1', 0)).toBe(true)
    expect(routes.leaderAddress).toBe('c:1')
  })

  test('an address that the caller gave wins over an advertised one', () => {
    const routes = new Routes(['proxy:1'], 0)
    routes.answeredBy('n1', 'proxy:1')
    routes.learn('n1', 'inside:1')
    routes.learn('n2', 'inside:2')
    expect(routes.addresses).toEqual(['proxy:1', 'inside:2'])
    routes.learn('n2', 'moved:2')
    expect(routes.addresses).toEqual(['proxy:1', 'moved:2'])
  })
})
