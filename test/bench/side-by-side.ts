// Two systems under the same works, alternating round by round, so that the machine's moods fall on both. Keys are written
// once before the first work that needs them.

import { must } from '../../src/base/assert.ts'
import { type Peer, type RoundTime, fill, measure } from './peer.ts'
import type { Row } from './report.ts'
import { type Sample, ratioOf, summarise } from './sample.ts'
import { type Work, nameOf } from './work.ts'

export async function sideBySide(
  peers: readonly [ours: Peer, theirs: Peer],
  works: readonly Work[],
  { rounds, ...time }: RoundTime & { readonly rounds: number },
  onRow: (rows: readonly Row[]) => void = () => {},
): Promise<Row[]> {
  const fills = new Fills(works)
  const rows: Row[] = []
  for (const work of works) {
    const samples: [Sample[], Sample[]] = [[], []]
    for (const peer of peers) await fills.instant(peer, work)
    for (let round = 1; round <= rounds; round++) {
      for (const side of [0, 1] as const) {
        const sample = await measure(peers[side], work, await fills.instant(peers[side], work), time)
        samples[side].push(sample)
        note(`${nameOf(work)}, round ${round}/${rounds}, ${peers[side].name}: ${Math.round(sample.perSecond)}/s`)
      }
    }
    const [ours, theirs] = samples
    rows.push({
      work,
      ours: summarise(ours),
      theirs: summarise(theirs),
      ratio: ratioOf(ours, theirs, sample => sample.perSecond),
      p50Ratio: ratioOf(ours, theirs, sample => sample.p50Ms),
      samples,
    })
    onRow(rows)
  }
  return rows
}

/** Which keys were filled, and the instant after that, by system. */
class Fills {
  readonly #works: readonly Work[]
  readonly #instants = new Map<string, string>()

  constructor(works: readonly Work[]) {
    this.#works = works
  }

  async instant(peer: Peer, { valueBytes }: Work): Promise<string> {
    // Fewer keys of the same size are some of those that are there.
    const keys = Math.max(...this.#works.map(work => (work.valueBytes === valueBytes ? work.keys : 0)))
    const id = `${peer.name} ${valueBytes}`
    if (!this.#instants.has(id)) {
      note(`${peer.name}: filling ${keys} keys of ${valueBytes} bytes`)
      this.#instants.set(id, await fill(peer, { keys, valueBytes }))
    }
    return must(this.#instants.get(id))
  }
}

const note = (text: string): void => void process.stderr.write(`${text}\n`)
