// Whether a store that comes up at another place has moved there, or is a copy of one that runs. It is asked for at the
// place where it was: if the same store answers there as another process, the newcomer is the twin, and takes over nothing.
//
// The newcomer asks itself before it speaks to anybody, and the leader before it records the new address: one of the two
// may be unable to reach the old one. Where both cannot, it is a move, and the other copy is refused if it comes back.

import { type NodeId, asNodeId } from '../base/ids.ts'
import type { quorate } from '../proto/quorate.js'
import type { Clock } from '../time/clock.ts'
import { type Speaker, idHex, supersededMessage } from '../transport/hello.ts'
import { incarnationOf, isTwin, standingOf } from '../transport/incarnation.ts'
import type { PeerCalls } from '../transport/peer-calls.ts'
import type { ExpectedRecord } from './local-store.ts'
import { type NodeRegistry, storeIdOf } from './node-registry.ts'

/** Longer than a round trip between continents; whoever listens answers at once. */
const identifyMs = 1_000

export type MoveVerdict =
  /** To be recorded, if what is stored is still that. */
  | { readonly kind: 'record'; readonly expected: ExpectedRecord }
  | { readonly kind: 'refused'; readonly code: 'twin' | 'superseded'; readonly message: string }
  /** To be asked again. */
  | { readonly kind: 'later'; readonly message: string }

export type StoreSpeaker = Omit<Speaker, 'clusterId'> & { readonly clusterId: string }

export interface MoveJudgeOptions {
  readonly clock: Clock
  readonly registry: NodeRegistry
  readonly peers: Pick<PeerCalls, 'identify'>
  /** The incarnation in which a node is heard by this one now; undefined: it is not. */
  readonly heardAs: (node: NodeId) => number | undefined
  /** This node's own Hello: what it would answer if it were asked. */
  readonly ownHello: () => quorate.v1.IHello
  /** Where the operator had this node dial its peers. */
  readonly overrides: ReadonlyMap<NodeId, string>
}

export class MoveJudge {
  readonly #options: MoveJudgeOptions

  constructor(options: MoveJudgeOptions) {
    this.#options = options
  }

  /** What this node knows without asking anybody. */
  superseded(speaker: StoreSpeaker): string | undefined {
    const recorded = this.#options.registry.incarnation(speaker.node, speaker.storeId)
    return recorded !== undefined && standingOf(speaker.lineage, recorded) === 'superseded'
      ? supersededMessage(speaker, recorded)
      : undefined
  }

  /** The leader's word, before it records where a store runs. */
  async judge(speaker: StoreSpeaker): Promise<MoveVerdict> {
    const { registry, overrides, ownHello } = this.#options
    const { node, storeId, lineage } = speaker
    // Read in one go with what is judged by: the record is written only if it is still stored like that.
    const expected = { stored: registry.stored(node) }
    const message = this.superseded(speaker)
    if (message !== undefined) return { kind: 'refused', code: 'superseded', message }
    const record = registry.record(node)
    const recorded = registry.incarnation(node, storeId)
    if (recorded === undefined || standingOf(lineage, recorded) === 'same') return { kind: 'record', expected }
    const found = await this.twinOf(speaker, [record?.peerAddress, overrides.get(node)])
    // A copy of this very store asks to be recorded.
    const isOneself = isTwin(toNewcomer(speaker), toFound(ownHello()))
    if (found !== undefined || isOneself)
      return { kind: 'refused', code: 'twin', message: twinMessage(speaker, found ?? record?.peerAddress ?? '') }
    // It may have ended a moment ago; and the way to it may be cut, while the way from it is not.
    const heardAs = this.#options.heardAs(node)
    if (heardAs !== undefined && heardAs !== incarnationOf(lineage))
      return { kind: 'later', message: `${node} is still heard from where it was: another process runs on its data` }
    return { kind: 'record', expected }
  }

  /** The address at which the same store answers as another process. */
  async twinOf(speaker: StoreSpeaker, addresses: readonly (string | null | undefined)[]): Promise<string | undefined> {
    const { clock, peers } = this.#options
    const deadlineMs = clock.monotonicMs() + identifyMs
    const asked = [...new Set(addresses)].filter(address => typeof address === 'string' && address !== '') as string[]
    const twins = await Promise.all(
      asked.map(async address => {
        const hello = await peers.identify(address, deadlineMs).catch(() => undefined)
        return isTwin(toNewcomer(speaker), hello && toFound(hello)) ? address : undefined
      }),
    )
    return twins.find(address => address !== undefined)
  }
}

/** `hello` has been judged: it names a node and a store. */
export function speakerOf(hello: quorate.v1.IHello): StoreSpeaker {
  return {
    node: asNodeId(hello.node ?? ''),
    storeId: storeIdOf(hello),
    clusterId: idHex(hello.clusterId),
    lineage: hello.lineage ?? [],
  }
}

export function twinMessage({ node, storeId }: StoreSpeaker, address: string): string {
  return (
    `twin: another process runs on a copy of this data directory: store ${storeId} of ${node} answers at ${address}. ` +
    `This one ends, and has taken over nothing. To move the node, stop it there first; to run another node here, ` +
    `give it an empty data directory and a name of its own`
  )
}

function toNewcomer(speaker: StoreSpeaker) {
  return { storeId: speaker.storeId, clusterId: speaker.clusterId, incarnation: incarnationOf(speaker.lineage) }
}

function toFound(hello: quorate.v1.IHello) {
  return toNewcomer(speakerOf(hello))
}
