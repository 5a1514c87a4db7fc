// Nodes that come up at other addresses than before, and copies of data directories that run beside their originals.

import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { isKvError } from '../../src/base/errors.ts'
import { type Client, connect } from '../../src/client/client.ts'
import { parseConfig } from '../../src/config.ts'
import { startNode } from '../../src/node.ts'
import { freePorts } from '../support/free-ports.ts'
import { LocalNodes } from '../support/local-nodes.ts'
import { until, within } from '../support/until.ts'

interface Ended {
  readonly code: number | string
  readonly reason: string
}

type Flags = Record<string, string | readonly string[]>

/** Other ports, and no address to ask. */
async function elsewhere(): Promise<Flags & { readonly listen: string; readonly 'peer-listen': string }> {
  const [client, peer, http] = (await freePorts(3)).map(port => `127.0.0.1:${port}`)
  return { listen: must(client), 'peer-listen': must(peer), 'http-listen': must(http), join: [] }
}

async function addressesOf(client: Client, name: string): Promise<readonly string[]> {
  const nodes = await client.admin.nodes()
  const record = nodes.find(node => node.id === name)
  return [record?.address ?? '', record?.peerAddress ?? '', record?.httpAddress ?? '']
}

const placed = (flags: Flags): readonly unknown[] => [flags.listen, flags['peer-listen'], flags['http-listen']]

async function untilRecorded(client: Client, name: string, flags: Flags): Promise<void> {
  await until(`${name} is recorded where it is`, async () => {
    expect(await addressesOf(client, name)).toEqual(placed(flags))
    return true
  })
}

async function expectServes(...addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const client = connect(`quorate://${address}`)
    try {
      const value = `by ${address}`
      await client.put('served', value)
      expect(Buffer.from(must(await client.get('served'))).toString()).toBe(value)
    } finally {
      client.close()
    }
  }
}

/** The copy of a stopped node's directory. */
function copyOf(nodes: LocalNodes, name: string): string {
  const copy = join(nodes.folder, `copy of ${name}`)
  cpSync(nodes.dataOf(name), copy, { recursive: true })
  return copy
}

async function lead(nodes: LocalNodes, name: string): Promise<void> {
  const client = nodes.client()
  await until(`${name} leads`, async () => {
    if (must((await client.admin.status()).ranges[0]).leader === name) return true
    await client.admin.transferLeader(name).catch(() => undefined)
    return false
  })
}

describe('a node that moves', () => {
  it('tells its cluster without being told whom to ask, whether it led or not, and moves back as well', async () => {
    await using nodes = await LocalNodes.cluster({ size: 3 })
    await lead(nodes, 'n2')
    for (const name of ['n3', 'n2']) {
      const place = await elsewhere()
      await nodes.stopNode(name)
      await nodes.startNode(name, place)
      await untilRecorded(nodes.client('n1'), name, place)
      await expectServes(place.listen)
    }
    for (const name of ['n3', 'n2']) {
      await nodes.stopNode(name)
      await nodes.startNode(name, { join: [] })
      await untilRecorded(nodes.client('n1'), name, nodes.flagsOf(name))
    }
    await nodes.allVote()
  }, 60_000)

  it('is recorded once there is a leader, however long that takes', async () => {
    await using nodes = await LocalNodes.cluster({ size: 3 })
    await nodes.stopNode('n2')
    await nodes.stopNode('n3')
    const place = await elsewhere()
    const moved = await nodes.startNode('n3', place)
    // n1 is alone with it at an address that it does not know: until n3 has found it.
    await untilRecorded(nodes.client('n1'), 'n3', place)
    await nodes.startNode('n2')
    await expectServes(place.listen, nodes.flagsOf('n2').listen as string)
    expect(moved.peerPort).toBe(Number(place['peer-listen'].split(':')[1]))
  }, 60_000)

  it('records itself when it is the only one', async () => {
    await using nodes = await LocalNodes.cluster({ size: 1 })
    const place = await elsewhere()
    await nodes.stopNode('n1')
    await nodes.startNode('n1', place)
    const client = connect(`quorate://${place.listen}`)
    await untilRecorded(client, 'n1', place)
    client.close()
    await nodes.stopNode('n1')
    await nodes.startNode('n1', { join: [] })
    await untilRecorded(nodes.client('n1'), 'n1', nodes.flagsOf('n1'))
  }, 60_000)

  it.each(['peer', 'join'])(
    'with all others at once finds them by --%s, which it needs once',
    async flag => {
      await using nodes = await LocalNodes.cluster({ size: 3 })
      const places = new Map<string, Awaited<ReturnType<typeof elsewhere>>>()
      for (const name of nodes.names) {
        await nodes.stopNode(name)
        places.set(name, await elsewhere())
      }
      const all = [...places].map(([name, place]) => (flag === 'peer' ? `${name}=` : '') + place['peer-listen'])
      const start = (flags: Flags) =>
        Promise.all([...places].map(([name, place]) => nodes.startNode(name, { ...place, ...flags })))
      const untilAllRecorded = async (): Promise<void> => {
        for (const asked of places.values()) {
          const client = connect(`quorate://${asked.listen}`)
          for (const [name, place] of places) await untilRecorded(client, name, place)
          client.close()
        }
      }
      await start({ [flag]: all })
      await untilAllRecorded()
      for (const name of nodes.names) await nodes.stopNode(name)
      await start({})
      await untilAllRecorded()
      await expectServes(...[...places.values()].map(({ listen }) => listen))
    },
    60_000,
  )
})

describe('a copied data directory', () => {
  /** Beside the node of that name. What it ended with: an error at its start, or later a code and a reason. */
  const endOf = async (nodes: LocalNodes, name: string, flags: Flags): Promise<Ended> => {
    const config = parseConfig({ ...nodes.flagsOf(name), ...flags }, {})
    try {
      const node = await startNode(config, pino({ level: 'silent' }))
      const { code, reason } = await within(`the second ${name} ends`, 15_000, node.done)
      await node.close()
      return { code, reason }
    } catch (error) {
      if (!isKvError(error)) throw error
      return { code: error.code, reason: error.message }
    }
  }

  it('that starts beside its original is the twin: it ends, and takes over nothing', async () => {
    await using nodes = await LocalNodes.cluster({ size: 3 })
    await lead(nodes, 'n1')
    for (const name of ['n3', 'n1']) {
      await nodes.stopNode(name)
      const data = copyOf(nodes, name)
      await nodes.startNode(name)
      await nodes.allVote()
      // The second time it has been somewhere else, where it took nothing over either.
      for (let times = 0; times < 2; times++) {
        const { code, reason } = await endOf(nodes, name, { ...nodes.flagsOf(name), ...(await elsewhere()), data })
        expect(code).toBe('twin')
        expect(reason).toMatch(/twin: .* runs on a copy of this data directory/)
        expect(reason).toContain(`answers at ${nodes.flagsOf(name)['peer-listen'] as string}`)
      }
      expect(await addressesOf(nodes.client('n2'), name)).toEqual(placed(nodes.flagsOf(name)))
      await nodes.allVote()
      await expectServes(nodes.flagsOf(name).listen as string)
    }
  }, 60_000)

  it('of the only node is the twin as well, also when it is to join the original', async () => {
    await using nodes = await LocalNodes.cluster({ size: 1 })
    await nodes.stopNode('n1')
    const data = copyOf(nodes, 'n1')
    await nodes.startNode('n1')
    for (const flags of [{ data }, { data, join: nodes.flagsOf('n1').join as string[] }])
      expect(await endOf(nodes, 'n1', { ...(await elsewhere()), ...flags })).toMatchObject({ code: 'twin' })
    await expectServes(nodes.flagsOf('n1').listen as string)
  }, 60_000)

  it('made before its original was in a cluster is the twin, once that has joined', async () => {
    await using nodes = await LocalNodes.start({ size: 2 })
    await nodes.stopNode('n2')
    const data = copyOf(nodes, 'n2')
    await nodes.startNode('n2')
    await nodes.client('n1').admin.init()
    await nodes.allVote()
    const flags = { ...(await elsewhere()), data, join: nodes.flagsOf('n1')['peer-listen'] as string }
    expect(await endOf(nodes, 'n2', flags)).toMatchObject({ code: 'twin' })
    await nodes.allVote()
  }, 60_000)

  it('that starts while its original is down has moved, and the original is refused when it comes back', async () => {
    await using nodes = await LocalNodes.cluster({ size: 3 })
    await nodes.stopNode('n3')
    const data = copyOf(nodes, 'n3')
    const place = await elsewhere()
    await nodes.startNode('n3', { ...place, data })
    await untilRecorded(nodes.client('n1'), 'n3', place)
    for (const changes of [{ join: [] }, {}]) {
      const { code, reason } = await endOf(nodes, 'n3', changes)
      expect(code).toBe(1)
      expect(reason).toMatch(/n3 .* as incarnation 1, and the cluster has recorded \d+ since: a copy of its data/)
    }
    const { code, reason } = await endOf(nodes, 'n3', await elsewhere())
    expect(code).toBe(1)
    expect(reason).toMatch(/has recorded \d+ since: a copy of its data directory was started elsewhere/)
    expect(await addressesOf(nodes.client('n1'), 'n3')).toEqual(placed(place))
    await expectServes(place.listen)
  }, 60_000)
})
