import { describe, expect, it } from 'vitest'
import { DiskRoom, type NodeDisk, bandOf, diskNeeds } from '../../src/range/disk-room.ts'
import type { Clock } from '../../src/time/clock.ts'

const mebibyte = 1024 * 1024
const limits = { diskBallastBytes: 256 * mebibyte, diskReserveBytes: 256 * mebibyte, logSegmentBytes: 16 * mebibyte }

describe('what a disk must keep free', () => {
  it('is what the limits say, and no more than a share of a small file system', () => {
    expect(diskNeeds(limits, 100_000 * mebibyte)).toEqual({
      ballast: 256 * mebibyte,
      reserve: 256 * mebibyte,
      hard: 32 * mebibyte,
    })
    expect(diskNeeds(limits, 200 * mebibyte)).toMatchObject({ ballast: 10 * mebibyte, reserve: 10 * mebibyte })
  })

  it('makes bands that end a little above where they begin', () => {
    const needs = { ballast: 100, reserve: 100, hard: 50 }
    expect([151, 150, 149, 50, 49, -10].map(room => bandOf(room, needs, 'ok'))).toEqual([
      'ok',
      'ok',
      'low',
      'low',
      'full',
      'full',
    ])
    expect([150, 174, 175].map(room => bandOf(room, needs, 'low'))).toEqual(['low', 'low', 'ok'])
    expect([50, 74, 75, 175].map(room => bandOf(room, needs, 'full'))).toEqual(['full', 'full', 'low', 'ok'])
  })
})

/** A disk of 1,000 MiB, time that moves when told to, and a room on them. */
function createRoom() {
  let nowMs = 0
  let dirtyBytes = 0
  const due = new Set<{ readonly atMs: number; readonly run: () => void }>()
  const clock: Clock = {
    unixMs: () => nowMs,
    monotonicMs: () => nowMs,
    defer: run => void due.add({ atMs: nowMs, run }),
    setTimer(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run }
      due.add(timer)
      return { cancel: () => void due.delete(timer) }
    },
  }
  const state = { othersBytes: 0, ballastBytes: 0, isAnswering: true }
  const disk: NodeDisk = {
    async space() {
      if (!state.isAnswering) throw new Error('EIO')
      return {
        freeBytes: Math.max(0, 1_000 * mebibyte - state.othersBytes - state.ballastBytes),
        totalBytes: 1_000 * mebibyte,
      }
    },
    get ballastBytes() {
      return state.ballastBytes
    },
    async growBallast(bytes) {
      state.ballastBytes = bytes
    },
    async releaseBallast() {
      state.ballastBytes = 0
    },
  }
  const logger = { debug() {}, info() {}, warn() {}, error() {} }
  const room = new DiskRoom({ disk, clock, logger, limits, dirtyBytes: () => dirtyBytes })
  const pass = async (ms: number): Promise<void> => {
    for (const endMs = nowMs + ms; nowMs < endMs; ) {
      nowMs += 50
      for (const timer of due) {
        if (timer.atMs > nowMs || !due.delete(timer)) continue
        timer.run()
      }
      await new Promise(setImmediate)
    }
  }
  return { room, state, pass, dirty: (bytes: number) => (dirtyBytes = bytes) }
}

describe('the room on a disk', () => {
  it('makes the ballast in the background, and not at once', async () => {
    const { room, state, pass } = createRoom()
    await room.start()
    await pass(1_000)
    expect(state.ballastBytes).toBe(0)
    await pass(20_000)
    expect(state.ballastBytes).toBe(50 * mebibyte)
    expect(room.band).toBe('ok')
  })

  it('goes through the bands as the disk fills up, gives the ballast up, and makes it again when there is room', async () => {
    const { room, state, pass } = createRoom()
    await room.start()
    await pass(20_000)
    // 50 MiB of ballast, 32 for the log, 50 of reserve.
    state.othersBytes = 867 * mebibyte
    await pass(1_500)
    expect(room.band).toBe('ok')
    state.othersBytes = 869 * mebibyte
    await pass(1_500)
    expect([room.band, state.ballastBytes]).toEqual(['low', 50 * mebibyte])
    state.othersBytes = 940 * mebibyte
    await pass(1_500)
    expect([room.band, state.ballastBytes]).toEqual(['full', 0])
    // What the ballast took up is no room for new data.
    await pass(10_000)
    expect([room.band, state.ballastBytes]).toEqual(['full', 0])
    state.othersBytes = 500 * mebibyte
    await pass(1_500)
    expect(room.band).toBe('ok')
    await pass(10_000)
    expect(state.ballastBytes).toBe(50 * mebibyte)
  })

  it('counts what is in memory as written', async () => {
    const { room, pass, dirty } = createRoom()
    await room.start()
    dirty(900 * mebibyte)
    await pass(1_500)
    expect(room.band).toBe('low')
  })

  it('gives the ballast up rather than let a flush fail, and says when there is none', async () => {
    const { room, state, pass } = createRoom()
    await room.start()
    await pass(20_000)
    state.othersBytes = 940 * mebibyte
    expect(await room.hasRoomFor(30 * mebibyte)).toBe(true)
    expect(state.ballastBytes).toBe(0)
    expect(await room.hasRoomFor(100 * mebibyte)).toBe(false)
  })

  it('refuses nothing because a disk cannot be asked', async () => {
    const { room, state, pass } = createRoom()
    state.isAnswering = false
    await room.start()
    await pass(2_000)
    expect(room.band).toBe('ok')
    expect(await room.hasRoomFor(1)).toBe(true)
    state.isAnswering = true
    state.othersBytes = 990 * mebibyte
    await pass(2_000)
    expect(room.band).toBe('full')
  })
})
