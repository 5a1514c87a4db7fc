// What is measured: each work with the bar that it is held against. The load programs, ours and etcd's, take it as flags.

export type WorkKind = 'put' | 'get' | 'stale' | 'mixed' | 'cas' | 'scan' | 'at' | 'unary-put' | 'unary-get'

export interface Work {
  readonly kind: WorkKind
  readonly callers: number
  readonly valueBytes: number
  /** Different keys, chosen uniformly. */
  readonly keys: number
  /** Keys a scan. */
  readonly scanKeys: number
  /** At least so many times etcd's operations a second. */
  readonly ratioMin?: number
  /** At most so many times etcd's p50. */
  readonly p50RatioMax?: number
  /** Part of the quick run. */
  readonly isQuick: boolean
}

export const keysUsual = 100_000
export const valueBytesUsual = 256

const usual = { callers: 256, valueBytes: valueBytesUsual, keys: keysUsual, scanKeys: 0, isQuick: false }

export const works: readonly Work[] = [
  { ...usual, kind: 'put', callers: 1, p50RatioMax: 0.6, isQuick: true },
  { ...usual, kind: 'put', callers: 16, ratioMin: 4, isQuick: true },
  { ...usual, kind: 'put', callers: 64 },
  { ...usual, kind: 'put', ratioMin: 5, isQuick: true },
  { ...usual, kind: 'put', callers: 1_000, ratioMin: 5, isQuick: true },
  { ...usual, kind: 'get', callers: 1 },
  { ...usual, kind: 'get', callers: 16 },
  { ...usual, kind: 'get', callers: 64 },
  { ...usual, kind: 'get', ratioMin: 10, isQuick: true },
  { ...usual, kind: 'get', callers: 1_000 },
  { ...usual, kind: 'stale', ratioMin: 8, isQuick: true },
  { ...usual, kind: 'mixed' },
  { ...usual, kind: 'cas' },
  { ...usual, kind: 'scan', callers: 16, scanKeys: 100 },
  { ...usual, kind: 'scan', callers: 4, scanKeys: 10_000 },
  { ...usual, kind: 'at', keys: 1_000 },
  { ...usual, kind: 'at' },
  { ...usual, kind: 'unary-put' },
  { ...usual, kind: 'unary-get' },
  { ...usual, kind: 'put', callers: 64, valueBytes: 64, keys: 10_000 },
  { ...usual, kind: 'put', callers: 64, valueBytes: 1_024, keys: 10_000 },
  { ...usual, kind: 'put', callers: 64, valueBytes: 4_096, keys: 10_000 },
  { ...usual, kind: 'put', callers: 64, valueBytes: 16_384, keys: 10_000 },
  { ...usual, kind: 'put', callers: 64, valueBytes: 65_536, keys: 2_000 },
]

export function nameOf({ kind, callers, valueBytes, keys, scanKeys }: Work): string {
  const parts = [
    kind === 'scan' ? `scan ${scanKeys}` : kind,
    `${callers} ${callers === 1 ? 'caller' : 'callers'}`,
    ...(valueBytes === valueBytesUsual ? [] : [`${valueBytes} B`]),
    ...(keys === keysUsual || valueBytes !== valueBytesUsual ? [] : [`${keys} keys`]),
  ]
  return parts.join(', ')
}

/** `at`: the instant of a fill, in the terms of the system that is measured. */
export function flagsOf(work: Work, at: string): string[] {
  return [
    ...['-work', work.kind, '-callers', String(work.callers), '-keys', String(work.keys)],
    ...['-size', String(work.valueBytes), '-scan', String(work.scanKeys), '-at', at],
  ]
}
