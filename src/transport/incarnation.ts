// Which of the processes that speak for one store is the one that the cluster means. Values only.
//
// A data directory that comes up at another place takes a new incarnation, and only then speaks. The registry takes it
// over only from a store that has descended from the incarnation recorded there. So of two copies of a directory one at
// most is recorded: from then on the other does not descend from what is recorded, wherever it comes up.
// Numbers leave gaps drawn at random, so that two copies do not take the same one.

/** In the order in which they were taken: first the last one known to be recorded, last the store's own. Never empty. */
export type Lineage = readonly number[]

export const firstLineage: Lineage = [1]
/** A new incarnation is up to so much above the one before it. */
const gapMax = 1_000_000
/** So often may a node move without reaching its cluster. Past it the oldest are forgotten that may not be recorded. */
const lineageMax = 100

/**
 * `same`: what is recorded. `newer`: it has moved since, or the registry asked lags behind. `superseded`: another copy of
 * the store has been recorded since it was copied.
 */
export type Standing = 'same' | 'newer' | 'superseded'

export function standingOf(lineage: Lineage, recorded: number): Standing {
  if (recorded === incarnationOf(lineage)) return 'same'
  return lineage.includes(recorded) || recorded < (lineage[0] ?? 0) ? 'newer' : 'superseded'
}

export function incarnationOf(lineage: Lineage): number {
  return lineage.at(-1) ?? 0
}

/** `randomInt(bound)` is uniform in [0, bound). */
export function nextLineage(lineage: Lineage, randomInt: (bound: number) => number): Lineage {
  const kept = lineage.length < lineageMax ? lineage : [...lineage.slice(0, 1), ...lineage.slice(2)]
  return [...kept, incarnationOf(lineage) + 1 + randomInt(gapMax)]
}

/** Whoever was found at the former address of a store that comes up at a new one; undefined: nobody answers there. */
export interface Found {
  readonly storeId: string
  readonly clusterId: string
  readonly incarnation: number
}

export interface Newcomer {
  readonly storeId: string
  readonly clusterId: string
  readonly incarnation: number
}

/** The same store answers elsewhere as another process: two copies of one directory run. */
export function isTwin(newcomer: Newcomer, found: Found | undefined): boolean {
  return (
    found !== undefined &&
    found.storeId === newcomer.storeId &&
    (found.clusterId === newcomer.clusterId || found.clusterId === '' || newcomer.clusterId === '') &&
    found.incarnation !== newcomer.incarnation
  )
}
