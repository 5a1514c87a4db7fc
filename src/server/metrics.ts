// What a node tells Prometheus. Gauges are read when they are asked for; the request path touches one counter and one
// histogram a call (a batch is one call).

import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from '@prometheus-io/client'
import type { ClusterView } from '../gateway/cluster-view.ts'
import type { LocalStore } from '../range/local-store.ts'
import type { RequestMetrics } from './handler.ts'

interface MetricsOptions {
  readonly store: LocalStore
  readonly view: ClusterView
  /** Latency of recent log and engine flushes. */
  readonly flushMicros?: () => number
  readonly engineFlushMicros?: () => number
  readonly disk?: { readonly freeBytes: number; readonly ballastBytes: number; readonly band: 'ok' | 'low' | 'full' }
}

export interface Metrics extends RequestMetrics {
  readonly contentType: string
  /** The text that Prometheus reads. */
  render(): Promise<string>
}

export function createMetrics(options: MetricsOptions): Metrics {
  const { store, view } = options
  const registry = new Registry()
  registry.setDefaultLabels({ node: store.node })
  // Among them nodejs_eventloop_lag_*: the delay of the event loop.
  collectDefaultMetrics({ register: registry })
  const registers = [registry]

  const requests = new Counter({
    name: 'quorate_requests_total',
    help: 'Calls answered, by operation and error code (ok: none). A batch is one call.',
    labelNames: ['op', 'code'],
    registers,
  })
  const latency = new Histogram({
    name: 'quorate_request_duration_seconds',
    help: 'Time from a call to its answer, by operation.',
    labelNames: ['op'],
    buckets: [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })

  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }
  gauge('quorate_ready', '1 when a linearizable read would be answered.', () => (store.ready ? 1 : 0))
  gauge('quorate_nodes', 'Nodes known.', () => view.nodes().length)
  gauge('quorate_nodes_live', 'Nodes that answered within the last election timeout.', () => {
    return view.nodes().filter(node => node.live).length
  })
  const { flushMicros, engineFlushMicros } = options
  const seconds = (micros: () => number) => () => micros() / 1_000_000
  if (flushMicros) gauge('quorate_log_flush_seconds', 'Latency of recent log flushes.', seconds(flushMicros))
  if (engineFlushMicros)
    gauge('quorate_engine_flush_seconds', 'Latency of recent engine flushes.', seconds(engineFlushMicros))

  const { disk } = options
  if (disk) {
    gauge('quorate_disk_free_bytes', 'Free on the file system of the data directory.', () => disk.freeBytes)
    gauge('quorate_disk_ballast_bytes', 'Kept to be given up when the disk is full.', () => disk.ballastBytes)
    gauge('quorate_disk_low', '1 when writes that add data are refused for want of room.', () =>
      Number(disk.band !== 'ok'),
    )
    gauge('quorate_disk_full', '1 when all writes are refused for want of room.', () => Number(disk.band === 'full'))
  }

  const rangeGauge = (
    name: string,
    help: string,
    read: (range: ReturnType<LocalStore['status']>[number]) => number,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames: ['range'],
      registers,
      collect() {
        this.reset()
        for (const range of store.status()) this.set({ range: String(range.id ?? 0) }, read(range))
      },
    })
  }
  rangeGauge('quorate_raft_term', 'Term of the replica on this node.', range => range.term ?? 0)
  rangeGauge('quorate_raft_commit', 'Commit index known here.', range => range.commit ?? 0)
  rangeGauge('quorate_raft_applied', 'Applied index here.', range => range.applied ?? 0)
  rangeGauge('quorate_raft_last_index', 'Last index of the log here.', range => range.lastIndex ?? 0)
  rangeGauge('quorate_raft_is_leader', '1 when this node leads the range.', range =>
    range.leader === store.node ? 1 : 0,
  )
  rangeGauge('quorate_range_quarantined', '1 while the replica here serves nothing, and waits to be rebuilt.', range =>
    range.trouble ? 1 : 0,
  )
  rangeGauge(
    'quorate_range_compared_index',
    'The newest entry at which a majority of the replicas agreed with the one here.',
    range => range.compared ?? 0,
  )
  rangeGauge(
    'quorate_range_compared',
    '1 when at the newest comparison all replicas answered and were equal.',
    range => (range.comparison === 'equal' ? 1 : 0),
  )
  rangeGauge('quorate_range_keys', 'Live keys.', range => range.keyCount ?? 0)
  rangeGauge('quorate_range_bytes', 'Bytes of live keys and values.', range => range.byteCount ?? 0)

  return {
    contentType: registry.contentType,
    observe(op, code, ms) {
      requests.inc({ op, code })
      latency.observe({ op }, ms / 1000)
    },
    render: () => registry.metrics(),
  }
}
