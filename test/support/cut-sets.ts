// Networks that are partly cut: which directed links are gone, and what may be asked of the cluster all the same. Pure data,
// shared by the simulator and by the tests on real processes; it knows neither.
//
// A link that is cut in one direction counts as no link: its answers are missing, and a real connection dies of that. What
// the remaining direction still carries must do no harm.
//
// Nodes are numbers, 0 to size - 1. "Hub": a node with links in both directions to so many others that, with itself, they
// are a majority. Each hub and whom it reaches is a connected quorum (Ng, Haridi, Carbone: Omni-Paxos, EuroSys 2023,
// section 2).

export interface CutSet {
  readonly name: string
  readonly size: number
  /** What `from` sends to `to` is lost. */
  readonly cuts: readonly DirectedLink[]
}

interface DirectedLink {
  readonly from: number
  readonly to: number
}

interface ConnectedQuorum {
  readonly hub: number
  /** The hub and everyone it has links with both ways; ascending. */
  readonly members: readonly number[]
}

function majorityOf(size: number): number {
  return Math.floor(size / 2) + 1
}

function isCut({ cuts }: CutSet, from: number, to: number): boolean {
  return cuts.some(cut => cut.from === from && cut.to === to)
}

/** The node and whom it hears and is heard by; ascending. */
export function neighboursOf(cutSet: CutSet, node: number): number[] {
  return range(cutSet.size).filter(
    other => other === node || (!isCut(cutSet, node, other) && !isCut(cutSet, other, node)),
  )
}

/** One for each hub: wherever there is one, some leader could commit. Empty: nothing may be acknowledged for long. */
export function connectedQuorums(cutSet: CutSet): ConnectedQuorum[] {
  const majority = majorityOf(cutSet.size)
  return range(cutSet.size)
    .map(hub => ({ hub, members: neighboursOf(cutSet, hub) }))
    .filter(({ members }) => members.length >= majority)
}

/**
 * Whether Raft must find a leader here, whatever the logs hold. A hub wins only when a majority of its members have no more
 * than it has (paper 5.4.1), and the hub that could win may be none: in a star whose hub lags by one entry behind its
 * leaves nobody can ever be elected, for the leaves refuse the hub and reach no quorum themselves. So this asks that every
 * ranking of the logs leaves some hub that wins. It does wherever a majority all see each other, and in rings.
 *
 * `leader`: who leads when the links are cut. Before it finds itself without a quorum and steps down it brings those that
 * it has links with up to its own log, so that fewer rankings remain. Writes in flight at the moment of the cut, or given
 * to the leader after it, may still leave a follower an entry behind: whoever relies on `leader` lets all nodes catch up
 * before the cut.
 */
export function mustElect(cutSet: CutSet, leader?: number): boolean {
  const quorums = connectedQuorums(cutSet)
  const majority = majorityOf(cutSet.size)
  const synced = leader === undefined ? [] : neighboursOf(cutSet, leader)
  // Strict rankings of the others suffice: logs that are equal only make a vote easier to get.
  return permutations(range(cutSet.size)).every(ranks => {
    const rankOf = (node: number): number => (synced.includes(node) ? cutSet.size : (ranks[node] ?? 0))
    return quorums.some(({ hub, members }) => members.filter(one => rankOf(one) <= rankOf(hub)).length >= majority)
  })
}

/** All 64 ways to cut the six directed links of three nodes; the first cuts nothing. */
export function threeNodeCutSets(): CutSet[] {
  const links = directedLinks(3)
  return Array.from({ length: 2 ** links.length }, (_, bits) => {
    const cuts = links.filter((_, index) => ((bits >> index) & 1) === 1)
    return { name: cuts.length === 0 ? 'no cut' : cuts.map(linkName).join(' '), size: 3, cuts }
  })
}

/** By its undirected links; all else is cut both ways. */
interface Topology {
  readonly shape: string
  readonly edges: readonly (readonly [number, number])[]
}

/** The shapes of five nodes in which not everyone sees everyone and something is still joined; each with one labelling. */
export const bridgeShapes: readonly Topology[] = [
  { shape: 'two pairs joined by a bridge node', edges: [...clique(0, 1, 2), ...clique(2, 3, 4)] },
  { shape: 'three and one joined by a bridge node', edges: [...clique(0, 1, 2, 3), [3, 4]] },
  { shape: 'a pair and three joined by one link', edges: [...clique(0, 1), [1, 2], ...clique(2, 3, 4)] },
  { shape: 'a pair and two loners joined by a bridge node', edges: [...clique(0, 1, 2), [2, 3], [2, 4]] },
  {
    shape: 'star',
    edges: [
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 4],
    ],
  },
  {
    shape: 'star of four and a loner',
    edges: [
      [0, 1],
      [0, 2],
      [0, 3],
    ],
  },
  {
    shape: 'chain',
    edges: [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
    ],
  },
  {
    shape: 'ring',
    edges: [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 0],
    ],
  },
  {
    shape: 'ring of four and a loner',
    edges: [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 0],
    ],
  },
  {
    shape: 'two bridge nodes between two and one',
    edges: [
      [0, 1],
      [0, 2],
      [0, 3],
      [1, 2],
      [1, 3],
      [4, 2],
      [4, 3],
    ],
  },
]

/** Every shape with every distinct choice of who stands where. */
export function bridgeCutSets(): CutSet[] {
  return bridgeShapes.flatMap(topology => {
    const seen = new Map<string, CutSet>()
    for (const places of permutations(range(5))) {
      const cutSet = placed(topology, places)
      const key = cutSet.cuts.map(linkName).toSorted().join(' ')
      if (!seen.has(key)) seen.set(key, cutSet)
    }
    return [...seen.values()]
  })
}

/** `places[n]` is the node that stands at the shape's position n. */
export function placed({ shape, edges }: Topology, places: readonly number[]): CutSet {
  const size = places.length
  const at = (position: number): number => places[position] ?? 0
  const joined = edges.map(([a, b]): readonly [number, number] => [at(a), at(b)])
  const isJoined = ({ from, to }: DirectedLink): boolean =>
    joined.some(([a, b]) => (a === from && b === to) || (a === to && b === from))
  const edgeNames = joined.map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`).toSorted()
  return {
    name: `${shape}: ${edgeNames.join(' ')}`,
    size,
    cuts: directedLinks(size).filter(link => !isJoined(link)),
  }
}

function directedLinks(size: number): DirectedLink[] {
  return range(size).flatMap(from => range(size).flatMap(to => (from === to ? [] : [{ from, to }])))
}

function linkName({ from, to }: DirectedLink): string {
  return `${from}→${to}`
}

function clique(...nodes: readonly number[]): (readonly [number, number])[] {
  return nodes.flatMap((a, index) => nodes.slice(index + 1).map((b): readonly [number, number] => [a, b]))
}

function range(size: number): number[] {
  return Array.from({ length: size }, (_, node) => node)
}

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]]
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map(rest => [item, ...rest]),
  )
}
