// Binding a port, with words for what can go wrong.

import type { Server } from 'node:net'
import { KvError } from '../base/errors.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** host:port or [ipv6]:port. Throws KvError `invalid-argument`. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65_535) {
    throw new KvError(
      'invalid-argument',
      `${JSON.stringify(text)} is no address; write host:port, such as 127.0.0.1:7101`,
    )
  }
  return { host, port }
}

/**
 * Connections that may wait to be accepted; the kernel may cap it. Past it the kernel drops what arrives, and whoever called
 * tries again after a second or more: a fleet of clients that connects at once should find room.
 */
const backlog = 4096

/** Resolves to the bound port. `purpose` and `flag` are for the message. */
export function listen(server: Server, address: Address, purpose: string, flag: string): Promise<number> {
  const { host, port } = address
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(explain(error, address, purpose, flag))
    server.once('error', onError)
    server.listen({ host, port, backlog }, () => {
      server.removeListener('error', onError)
      const bound = server.address()
      resolve(bound !== null && typeof bound === 'object' ? bound.port : port)
    })
  })
}

function explain(error: NodeJS.ErrnoException, { host, port }: Address, purpose: string, flag: string): KvError {
  const what = `cannot listen for ${purpose} on ${host}:${port}`
  const options = { details: { host, port: String(port), errno: error.code ?? '' }, cause: error }
  switch (error.code) {
    case 'EADDRINUSE':
      return new KvError(
        'invalid-argument',
        `${what}: another process has port ${port}. Stop it, or choose another port with ${flag}`,
        options,
      )
    case 'EACCES':
      return new KvError(
        'invalid-argument',
        `${what}: port ${port} needs privileges. Choose one above 1023 with ${flag}`,
        options,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new KvError(
        'invalid-argument',
        `${what}: ${host} is no address of this machine. Choose one with ${flag}`,
        options,
      )
    default:
      return new KvError('invalid-argument', `${what}: ${error.message}`, options)
  }
}
