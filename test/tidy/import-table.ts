// DESIGN.md, section 4, as data: which folder of src may import what. A row names folders (`base`), or single files
// (`raft/types.ts`) where only a port or its types are meant. Generated code (`proto`) is open to all but the pure core.

/** Folders that compute and never act: no await, no clock, no randomness, no platform. */
export const pureFolders = ['base', 'time', 'raft', 'txn'] as const

/** The adapters inside pure folders: exempt from purity, because they are the edge. */
export const edges: ReadonlySet<string> = new Set(['src/time/system-clock.ts'])

export const importTable: Readonly<Record<string, readonly string[]>> = {
  base: [],
  time: ['base'],
  raft: ['base'],
  mvcc: ['base', 'time', 'engine/engine.ts', 'log/log.ts', 'proto'],
  command: ['base', 'time', 'mvcc', 'txn', 'engine/engine.ts', 'proto'],
  txn: ['base', 'time', 'proto'],
  log: ['base', 'time', 'raft/types.ts', 'proto'],
  engine: ['base', 'time', 'proto'],
  transport: ['base', 'time', 'raft/types.ts', 'gateway/cluster-view.ts', 'proto'],
  range: [
    'base',
    'time',
    'raft',
    'mvcc',
    'command',
    'txn',
    'log',
    'engine',
    'transport',
    'gateway/cluster-view.ts',
    'proto',
  ],
  placement: ['base', 'time', 'range', 'proto'],
  gateway: ['base', 'time', 'txn', 'command', 'transport', 'range/local-store.ts', 'proto'],
  server: ['base', 'time', 'gateway', 'range', 'placement', 'proto'],
  client: ['base', 'time', 'proto'],
  cli: ['base', 'time', 'client', 'server', 'proto', 'node.ts', 'config.ts'],
  // The composition root, configuration and entry, directly under src.
  '': ['*'],
}

/** What lies outside the checkout, and which folders or single files of src may touch it. Anything not named is refused. */
export const outsideTable: Readonly<Record<string, readonly string[]>> = {
  'classic-level': ['engine'],
  '@grpc/grpc-js': ['transport', 'server', 'client'],
  '@grpc/reflection': ['server'],
  protobufjs: ['server/reflection.ts'],
  'protobufjs/ext/descriptor.js': ['server/reflection.ts'],
  commander: ['cli'],
  'cli-table3': ['cli'],
  zod: [''],
  pino: ['server', 'cli', ''],
  'pino-pretty': ['cli', ''],
  '@prometheus-io/client': ['server'],
  snappyjs: ['engine'],
  'node:async_hooks': [],
  'node:buffer': ['log', 'engine', 'transport', 'cli'],
  'node:child_process': ['cli'],
  'node:crypto': ['mvcc', 'command', 'log', 'engine', 'transport', 'range', 'gateway', 'server', 'client', 'cli', ''],
  'node:fs': ['log', 'engine', 'cli', '', 'server/reflection.ts'],
  'node:fs/promises': ['log', 'engine', 'cli', ''],
  'node:http': ['server'],
  'node:http2': ['transport', 'server', 'client'],
  'node:net': ['transport', 'server', 'client', 'cli'],
  'node:os': ['log', 'engine', 'cli', ''],
  'node:path': ['log', 'engine', 'cli', '', 'server/reflection.ts'],
  'node:perf_hooks': ['server', ''],
  'node:process': ['cli', ''],
  'node:stream': ['cli'],
  'node:timers/promises': [],
  'node:url': ['cli', '', 'server/reflection.ts'],
  'node:util': ['cli', ''],
  'node:zlib': ['mvcc', 'command', 'log', 'engine', 'transport', 'range', ''],
}
