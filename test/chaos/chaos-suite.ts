// What every chaos file shares: one cluster for the file, a load for each scenario, and the end that every scenario must
// come to: links whole, all nodes up and agreeing, every acknowledged write on every node, and none applied twice.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClusterOptions, ProcessCluster } from '../support/process-cluster.ts'
import { discrepancies, Load, type LoadOptions } from '../support/load.ts'
import { toxiproxyMissing } from '../support/toxiproxy.ts'

export interface Scene {
  readonly cluster: ProcessCluster
  readonly load: Load
}

export interface Suite {
  readonly scenario: (name: string, run: (scene: Scene) => Promise<void>, options?: LoadOptions) => void
}

const missing = await toxiproxyMissing()

export function chaosSuite(name: string, options: ClusterOptions, define: (suite: Suite) => void): void {
  describe.skipIf(missing !== undefined)(name, () => {
    let cluster: ProcessCluster | undefined
    beforeAll(async () => {
      cluster = await ProcessCluster.start(options)
    })
    afterAll(async () => {
      await cluster?.close()
    })
    define({
      scenario(title, run, loadOptions) {
        test(title, async () => {
          if (cluster === undefined) throw new Error('no cluster')
          const load = Load.start(cluster.url, loadOptions)
          try {
            await load.progress(20)
            await run({ cluster, load })
            await cluster.restore()
            await load.progress(20)
          } catch (error) {
            const logs = cluster.nodes.map(node => `--- ${node.name}\n${node.logTail()}`).join('\n')
            console.error(`${title}: ${error instanceof Error ? error.message : error}\n${logs}`)
            throw error
          } finally {
            await load.stop()
            await cluster.restore()
          }
          expect(load.acknowledged.size).toBeGreaterThan(40)
          expect(await discrepancies(cluster, load)).toEqual([])
        })
      },
    })
  })
}
