import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { createHttpServer } from '../../src/server/http-server.ts'
import { createMetrics } from '../../src/server/metrics.ts'
import { createFakeCluster } from '../support/fake-cluster.ts'

async function start(address = '127.0.0.1:0') {
  const cluster = createFakeCluster(['n1', 'n2'])
  const { store, view } = cluster.at('n1')
  const metrics = createMetrics({ store, view, flushMicros: () => 120, engineFlushMicros: () => 900 })
  const server = await createHttpServer({ address, store, view, metrics, logger: silentLogger })
  const url = `http://127.0.0.1:${server.port}`
  return { cluster, store, view, metrics, server, url, [Symbol.asyncDispose]: () => server.close() }
}

describe('the HTTP port', () => {
  it('is live, and ready when the store is', async () => {
    await using http = await start()
    expect((await fetch(`${http.url}/livez`)).status).toBe(200)
    expect(await (await fetch(`${http.url}/readyz`)).text()).toBe('ok\n')
  })

  it('says why it is not ready', async () => {
    await using http = await start()
    const reason = async (): Promise<string> => {
      const response = await fetch(`${http.url}/readyz`)
      expect(response.status).toBe(503)
      return response.text()
    }
    http.store.ready = false
    expect(await reason()).toContain('catching up')
    http.cluster.state.leader = undefined
    expect(await reason()).toContain('no leader is known for range 1')
    http.store.status = () => []
    expect(await reason()).toContain('no replica')
    http.view.id = undefined
    expect(await reason()).toContain('quorate init')
  })

  it('gives Prometheus what it asks for', async () => {
    await using http = await start()
    await http.cluster.at('n1').gateway.put({ op: { key: Buffer.from('a') } })
    http.metrics.observe('put', 'ok', 3)
    http.metrics.observe('put', 'overloaded', 1)
    const response = await fetch(`${http.url}/metrics`)
    expect(response.headers.get('content-type')).toContain('text/plain')
    const lines = (await response.text()).split('\n')
    for (const line of [
      'quorate_requests_total{op="put",code="ok",node="n1"} 1',
      'quorate_requests_total{op="put",code="overloaded",node="n1"} 1',
      'quorate_request_duration_seconds_bucket{le="0.005",node="n1",op="put"} 2',
      'quorate_raft_commit{range="1",node="n1"} 1',
      'quorate_raft_is_leader{range="1",node="n1"} 1',
      'quorate_log_flush_seconds{node="n1"} 0.00012',
      'quorate_nodes_live{node="n1"} 2',
    ]) {
      expect(lines).toContain(line)
    }
    expect(lines.some(line => line.startsWith('nodejs_eventloop_lag_p99_seconds'))).toBe(true)
  })

  it('answers everything else plainly', async () => {
    await using http = await start()
    expect((await fetch(`${http.url}/nothing`)).status).toBe(404)
    expect((await fetch(`${http.url}/livez`, { method: 'POST', body: 'x' })).status).toBe(405)
  })

  it('survives garbage', async () => {
    await using http = await start()
    const socket = connect(http.server.port, '127.0.0.1')
    const answer = new Promise<string>(resolve => {
      let all = ''
      socket.on('data', chunk => (all += chunk.toString()))
      socket.on('close', () => resolve(all))
      socket.on('error', () => {})
    })
    socket.write(Buffer.alloc(2000, 0xfe))
    expect(await answer).toMatch(/^HTTP\/1\.1 400/)
    expect((await fetch(`${http.url}/livez`)).status).toBe(200)
  })

  it('names a busy port', async () => {
    await using http = await start()
    await expect(start(`127.0.0.1:${http.server.port}`)).rejects.toThrow(/--http-listen/)
  })
})
