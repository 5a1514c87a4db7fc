// Links between clients and nodes: reset, refused, thin, and answers that get lost, which is what sessions are for. A lost
// answer shows by a write that failed for its caller, and is there.

import { quorate } from '../../../src/proto/quorate.js'
import { NodeClient } from '../../support/node-client.ts'
import { badLinks, chooseClientLinks, gray, limited, refusing, resetting } from './bad-links.ts'
import type { Fault } from './fault.ts'

const stale = quorate.v1.ReadKind.READ_KIND_STALE
const answerLimitMs = 600
let nextWrite = 1

const lostAnswers: Fault = {
  name: 'answers to clients lost',
  async plan(stage) {
    const chosen = chooseClientLinks(stage)
    if (chosen === undefined) return undefined
    const { node: name } = chosen
    const link = stage.cluster.clientLink(name)
    const node = stage.cluster.node(name)
    const caller = new NodeClient(link.listen)
    // The connection has to stand already: a new one would wait for its greeting for ever.
    const isConnected = await caller.status(true).then(
      () => true,
      () => false,
    )
    if (!isConnected) {
      caller.close()
      return undefined
    }
    return {
      describe: `answers of ${name} to its clients`,
      claims: [`link:${link.name}`],
      impaired: [],
      lastsMaxMs: 4_000,
      showsWithinMs: 8_000,
      async inject() {
        await link.cut('drop', ['downstream'])
        return true
      },
      async verify() {
        const key = `nemesis/lost-answer-${nextWrite++}`
        const isAnswered = await caller.put(key, name, answerLimitMs).then(
          () => true,
          () => false,
        )
        return !isAnswered && (await node.client.get(key, stale)) === name
      },
      async heal() {
        caller.close()
        await link.heal()
      },
    }
  },
}

export const badClientLinks: readonly Fault[] = [
  lostAnswers,
  badLinks('client connections reset', resetting, chooseClientLinks),
  badLinks('client connections refused', refusing, chooseClientLinks),
  badLinks('client connections limited', limited, chooseClientLinks),
  badLinks('gray client links', gray, chooseClientLinks),
]
