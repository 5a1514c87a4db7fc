// How much work a write is when it is applied: one for each key that it puts, deletes or compares. Requests, entries and
// turns of the event loop are bounded by it, because a commit of few bytes can touch hundreds of keys. Clients, gateways
// and leaders count alike.

interface Counted {
  readonly length: number
}

interface Changes extends Counted {
  some(isMeant: (change: { readonly put?: object | null }) => boolean): boolean
}

/** A Write message, as far as its work is to be counted. */
export interface CountedWrite {
  readonly put?: object | null
  readonly deleteRange?: { readonly limit?: number | null } | null
  readonly commit?: {
    readonly compares?: Counted | null
    readonly then?: Changes | null
    readonly otherwise?: Changes | null
  } | null
}

/** Part of the command's meaning, so never configured: what a DeleteRange with `limit` 0 removes at most. */
export const deleteRangeKeysDefault = 1_000

/** A DeleteRange counts as many keys as it may remove; a commit counts its larger branch, of which only one applies. */
export function keyOperationsOf({ commit, deleteRange }: CountedWrite): number {
  if (commit) {
    const { compares, then, otherwise } = commit
    return Math.max(1, (compares?.length ?? 0) + Math.max(then?.length ?? 0, otherwise?.length ?? 0))
  }
  return deleteRange ? deleteRange.limit || deleteRangeKeysDefault : 1
}

/** Whether there may be more data after it than before: by this it is refused where a disk is nearly full. */
export function addsData({ put, commit }: CountedWrite): boolean {
  const isPut = (change: { readonly put?: object | null }): boolean => change.put != null
  return put != null || [commit?.then, commit?.otherwise].some(changes => changes?.some(isPut))
}
