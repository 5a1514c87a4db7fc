// Where the five nodes of `make cluster` live: names, ports and folders, and nothing that acts. Ports of proxies stay
// outside 32768–60999, from which the kernel takes those of outgoing connections.

import { join } from 'node:path'

export const checkout = join(import.meta.dirname, '../..')
const root = join(checkout, '.quorate')

export interface LocalNode {
  readonly name: string
  readonly number: number
  readonly client: string
  readonly peer: string
  readonly http: string
  /** Where clients reach it when every link has a proxy. */
  readonly clientProxy: string
  readonly data: string
  readonly log: string
  readonly pidFile: string
}

export const nodes: readonly LocalNode[] = [1, 2, 3, 4, 5].map(number => {
  const folder = join(root, `n${number}`)
  return {
    name: `n${number}`,
    number,
    client: `127.0.0.1:${7100 + number}`,
    peer: `127.0.0.1:${7200 + number}`,
    http: `127.0.0.1:${7300 + number}`,
    clientProxy: `127.0.0.1:${21_100 + number}`,
    data: join(folder, 'data'),
    log: join(folder, 'node.log'),
    pidFile: join(folder, 'pid'),
  }
})

export const proxyServer = {
  api: '127.0.0.1:21000',
  log: join(root, 'toxiproxy.log'),
  pidFile: join(root, 'toxiproxy.pid'),
}

/** The proxy on the directed link from one node to another. */
export function peerProxy(from: LocalNode, to: LocalNode): string {
  return `127.0.0.1:${22_000 + from.number * 10 + to.number}`
}

export function linkName(from: LocalNode, to: LocalNode): string {
  return `${from.name}-to-${to.name}`
}

export function findNode(name: string | undefined): LocalNode {
  const node = nodes.find(candidate => candidate.name === name)
  if (node !== undefined) return node
  throw new Error(
    `${name === undefined ? 'no node given' : `no node ${name}`}: say NODE=${nodes.map(n => n.name).join('|')}`,
  )
}

export function clusterUrl(proxied: boolean): string {
  return `quorate://${nodes.map(node => (proxied ? node.clientProxy : node.client)).join(',')}`
}
