// Links between nodes that work badly: late and thin, reset, closed after so many bytes, closed late, refused. The effect is
// what a stranger's connection through the same proxy meets.

import type { Prng } from '../../../src/base/prng.ts'
import type { Link } from '../../support/toxiproxy.ts'
import { between, type Claim, type Fault, pick, shuffled, soundNodes, type Stage } from './fault.ts'
import { probe } from './probe.ts'

interface Badness {
  readonly describe: string
  apply(link: Link): Promise<void>
  shows(link: Link): Promise<boolean>
}

/** All links of one node, or some of them, in both dialling directions. */
function chooseLinks(stage: Stage): { node: string; links: Link[] } | undefined {
  const { cluster, isFree, prng } = stage
  // Whoever is dialled has to answer the probe.
  const sound = soundNodes(stage)
  const node = sound[0]
  if (node === undefined || sound.length < 2) return undefined
  const others = sound.slice(1, 2 + prng.below(sound.length - 1))
  const links = cluster
    .linksBetween(
      [node.name],
      others.map(other => other.name),
    )
    .filter(link => isFree(`link:${link.name}`))
  return links.length === 0 ? undefined : { node: node.name, links }
}

export function badLinks(
  name: string,
  draw: (prng: Prng) => Badness,
  choose: (stage: Stage) => { node: string; links: Link[] } | undefined = chooseLinks,
): Fault {
  return {
    name,
    async plan(stage) {
      const chosen = choose(stage)
      if (chosen === undefined) return undefined
      const { node, links } = chosen
      const badness = draw(stage.prng)
      // A link that is bad already for another reason shows nothing.
      const before = await Promise.all(links.map(link => probe(link.listen)))
      if (before.some(({ outcome }) => outcome !== 'answered')) return undefined
      return {
        describe: `${badness.describe} on ${links.map(link => link.name).join(' ')}`,
        claims: links.map((link): Claim => `link:${link.name}`),
        impaired: links.some(link => !link.name.startsWith('client-')) ? [node] : [],
        async inject() {
          await Promise.all(links.map(link => badness.apply(link)))
          return true
        },
        async verify() {
          return badness.shows(pick(stage.prng, links))
        },
        async heal() {
          await Promise.all(links.map(link => link.heal()))
        },
      }
    },
  }
}

export function resetting(): Badness {
  return {
    describe: 'reset',
    apply: link => link.reset(),
    shows: async link => (await probe(link.listen)).outcome === 'reset',
  }
}

export function refusing(): Badness {
  return {
    describe: 'refused',
    apply: link => link.off(),
    shows: async link => (await probe(link.listen)).outcome === 'refused',
  }
}

export function gray(prng: Prng): Badness {
  const latencyMs = between(prng, 20, 150)
  const rate = between(prng, 30, 200)
  return {
    describe: `${latencyMs} ms late, in crumbs, at ${rate} KB/s`,
    apply: link => link.gray(latencyMs, Math.round(latencyMs / 4), rate),
    async shows(link) {
      const { outcome, tookMs } = await probe(link.listen, { limitMs: 3_000 })
      return outcome === 'answered' && tookMs >= latencyMs
    },
  }
}

/** Less than the workload writes: whoever is behind such a link falls behind, and must be level once it is healed. */
export function thin(prng: Prng): Badness {
  const rate = between(prng, 5, 25)
  return {
    describe: `${rate} KB/s, less than is written`,
    apply: link => link.thin(rate),
    async shows(link) {
      // Half a second of what it carries, before the ping.
      const ballastBytes = rate * 500
      const { outcome, tookMs } = await probe(link.listen, { ballastBytes, pingsLast: true, limitMs: 3_000 })
      return outcome === 'answered' && tookMs >= 300
    },
  }
}

export function limited(prng: Prng): Badness {
  const bytes = between(prng, 1_000, 60_000)
  return {
    describe: `closed after ${bytes} bytes`,
    apply: link => link.limitData(bytes),
    async shows(link) {
      const { outcome } = await probe(link.listen, { ballastBytes: 2 * bytes + 1_000, limitMs: 1_500 })
      return outcome === 'closed' || outcome === 'reset'
    },
  }
}

export function closingLate(prng: Prng): Badness {
  const delayMs = between(prng, 500, 1_500)
  return {
    describe: `closed ${delayMs} ms late`,
    apply: link => link.slowClose(delayMs),
    async shows(link) {
      const { outcome, tookMs } = await probe(link.listen, { nonsense: true, limitMs: delayMs + 3_000 })
      return outcome !== 'silent' && tookMs >= delayMs * 0.9
    },
  }
}

export const badPeerLinks: readonly Fault[] = [
  badLinks('gray links', gray),
  badLinks('thin links', thin),
  badLinks('connections reset', resetting),
  badLinks('connections limited', limited),
  badLinks('connections closed late', closingLate),
  badLinks('connections refused', refusing),
]

/** Up to two nodes' client links. */
export function chooseClientLinks(stage: Stage): { node: string; links: Link[] } | undefined {
  const { cluster, isFree, prng } = stage
  const nodes = shuffled(prng, soundNodes(stage)).slice(0, 1 + prng.below(2))
  const links = nodes.map(node => cluster.clientLink(node.name)).filter(link => isFree(`link:${link.name}`))
  const node = nodes[0]
  return node === undefined || links.length === 0 ? undefined : { node: node.name, links }
}
