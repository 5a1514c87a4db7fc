// The two implementations of NodeDirectory (src/node-ports.ts), on disk and simulated, owe the same.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { asClusterId, asNodeId } from '../../src/base/ids.ts'
import { createPrng } from '../../src/base/prng.ts'
import { DataDirectory } from '../../src/data-directory.ts'
import type { NodeDirectory } from '../../src/node-ports.ts'
import { FakeLogFiles } from '../log/fake-log-files.ts'
import { SimDirectory, simStoreId } from '../sim/sim-directory.ts'

/** A machine, and the processes that open its directory one after the other. */
interface Machine {
  open(): NodeDirectory
  write(name: string): void
  /** What the log holds. */
  names(): readonly string[]
  close(): void
}

const n1 = asNodeId('n1')
const clusterId = asClusterId('ab'.repeat(16))

function onDisk(): Machine {
  const parent = mkdtempSync(join(tmpdir(), 'quorate-'))
  const path = join(parent, 'data')
  const log = join(path, 'log')
  return {
    open: () => DataDirectory.open(path, n1),
    write(name) {
      mkdirSync(log, { recursive: true })
      writeFileSync(join(log, name), 'segment')
    },
    names: () => readdirSync(path).flatMap(name => (name === 'log' ? readdirSync(log) : [])),
    close: () => rmSync(parent, { recursive: true }),
  }
}

function simulated(): Machine {
  const files = new FakeLogFiles({ prng: createPrng(1) })
  const directory = new SimDirectory(n1, simStoreId(1, 1), files)
  return {
    open: () => directory,
    write: name => files.place(`${directory.logPath}/${name}`, Buffer.from('segment')),
    names: () => files.paths().map(path => path.slice(directory.logPath.length + 1)),
    close: () => {},
  }
}

describe.each([
  ['the data directory', onDisk],
  ['the simulated one', simulated],
])('%s, as NodeDirectory', (_, open) => {
  let machine: Machine | undefined
  const openMachine = (): Machine => (machine = open())
  afterEach(() => machine?.close())

  it('gives a node an identity that outlives its process, in no cluster at first', () => {
    const { open: start } = openMachine()
    const { identity } = start()
    expect(identity).toMatchObject({ node: n1, clusterId: undefined })
    expect(identity.storeId).toMatch(/^[0-9a-f]{32}$/)
    expect(start().identity).toEqual(identity)
  })

  it('remembers the cluster from the moment in which joinCluster returns, and nothing else changes', () => {
    const { open: start } = openMachine()
    const directory = start()
    const before = directory.identity
    directory.joinCluster(clusterId)
    expect(directory.identity).toEqual({ ...before, clusterId })
    expect(start().identity).toEqual({ ...before, clusterId })
  })

  const none = (): number => 0

  it('takes a new incarnation at each other place, and remembers those before it until one is confirmed', () => {
    const { open: start } = openMachine()
    start().settle('here', none)
    expect(start().identity.lineage).toEqual([1])
    start().settle('here', none)
    expect(start().identity.lineage).toEqual([1])
    start().settle('there', () => 6)
    start().settle('there', none)
    expect(start().identity.lineage).toEqual([1, 8])
    start().settle('here', none)
    expect(start().identity.lineage).toEqual([1, 8, 9])
    start().confirmIncarnation()
    start().settle('here', none)
    expect(start().identity.lineage).toEqual([9])
  })

  it('remembers where peers were told to dial it', () => {
    const { open: start } = openMachine()
    expect(start().peerAddress).toBe('')
    start().announce('n1:7201')
    start().settle('elsewhere', none)
    expect(start().peerAddress).toBe('n1:7201')
  })

  it('remembers where its peers were, from the moment in which it joins', () => {
    const { open: start } = openMachine()
    expect(start().peers).toEqual({})
    start().joinCluster(clusterId, { [asNodeId('n2')]: 'n2:7201' })
    expect(start().peers).toEqual({ n2: 'n2:7201' })
    start().rememberPeers({ [asNodeId('n2')]: 'n2:7301', [asNodeId('n3')]: 'n3:7201' })
    expect(start().peers).toEqual({ n2: 'n2:7301', n3: 'n3:7201' })
    expect(start().identity.clusterId).toBe(clusterId)
  })

  it('throws the log away, all of it or none being there, and stays who it is', () => {
    const { open: start, write, names } = openMachine()
    const directory = start()
    const { identity } = directory
    directory.discardLog()
    write('000001')
    write('000002')
    directory.discardLog()
    expect(names()).toEqual([])
    expect(start().identity).toEqual(identity)
  })

  it('never throws the log of a member away', () => {
    const { open: start, write, names } = openMachine()
    const directory = start()
    directory.joinCluster(clusterId)
    write('000001')
    expect(() => directory.discardLog()).toThrow(/never thrown away/)
    expect(names()).toEqual(['000001'])
  })
})
