// Ports that stay ours across restarts of what listens on them. They are taken from outside 32768–60999: out of that
// range the kernel gives ports to outgoing connections, and a node that was killed would find its own port busy.

import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** Handed out by this process: whoever got one may not listen yet. */
const taken = new Set<number>()

export async function freePorts(count: number): Promise<number[]> {
  const held: { port: number; server: Server }[] = []
  try {
    while (held.length < count) {
      const port = randomInt(12_000, 20_900)
      if (taken.has(port)) continue
      const server = createServer()
      server.listen(port, '127.0.0.1')
      // A busy port emits an error, which rejects `once`: try another.
      const isFree = await once(server, 'listening').then(
        () => true,
        () => false,
      )
      if (!isFree) continue
      taken.add(port)
      held.push({ port, server })
    }
    return held.map(({ port }) => port)
  } finally {
    await Promise.all(held.map(({ server }) => new Promise(resolve => server.close(resolve))))
  }
}
