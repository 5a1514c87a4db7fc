// One process of a crowd of clients: as many SDK clients as it is told, each with connections of its own. Every message from
// the parent is one round: each client puts and gets a key of its own, all at once.

import { type Client, connect, isKvError } from '../../src/client/client.ts'
import type { CrowdOrder, CrowdReport } from './crowd.ts'

const [url = '', count = '0'] = process.argv.slice(2)
const clients: readonly Client[] = Array.from({ length: Number(count) }, () => connect(url))

async function serve(client: Client, key: string, { round, timeoutMs }: CrowdOrder): Promise<void> {
  const value = `${key} in round ${round}`
  await client.put(key, value, { timeoutMs })
  const found = await client.getText(key, { timeoutMs })
  if (found !== value) throw new Error(`${key} holds ${found}, not ${value}`)
}

async function run(order: CrowdOrder): Promise<CrowdReport> {
  const begunMs = performance.now()
  const tookMs: number[] = []
  const failures: string[] = []
  const cpu = process.cpuUsage()
  const each = clients.map(async (client, n) => {
    try {
      await serve(client, `crowd/${process.pid}/${n}`, order)
      tookMs.push(performance.now() - begunMs)
    } catch (error) {
      failures.push(isKvError(error) ? `${error.code}: ${error.message}` : String(error))
    }
  })
  await Promise.all(each)
  const used = process.cpuUsage(cpu)
  return { tookMs, failures, cpuMs: (used.user + used.system) / 1000, residentBytes: process.memoryUsage.rss() }
}

process.on('message', (order: CrowdOrder) => {
  void run(order).then(report => process.send?.(report))
})
process.on('disconnect', () => process.exit(0))
process.send?.('here')
