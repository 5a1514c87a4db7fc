// A stranger's connection through a link's proxy, to see what the proxy does to bytes: it speaks just enough HTTP/2 to be
// answered by the server behind it (RFC 9113: preface, SETTINGS, PING).

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface Probe {
  readonly outcome: 'answered' | 'silent' | 'refused' | 'reset' | 'closed'
  /** From connecting until the outcome. */
  readonly tookMs: number
  readonly bytes: number
}

export interface ProbeOptions {
  readonly limitMs?: number
  /** Sent after the ping, as frames of a type nobody knows, which a server must ignore. */
  readonly ballastBytes?: number
  /** The ping comes after the ballast: it is answered once that is across. */
  readonly pingsLast?: boolean
  /** Nonsense instead of HTTP/2: the server hangs up. */
  readonly nonsense?: boolean
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const pingType = 6
const unknownType = 0xfa
const frameBytesMax = 16_384
const frameHeaderBytes = 9

function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(frameHeaderBytes)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  return Buffer.concat([header, payload])
}

/** The flags of a PING that answers ours. */
function holdsPong(bytes: Buffer): boolean {
  for (let at = 0; at + frameHeaderBytes <= bytes.length; at += frameHeaderBytes + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === pingType && ((bytes[at + 4] ?? 0) & 1) === 1) return true
  }
  return false
}

/** `answered`: the ping came back, and (with ballast after it) the connection outlived what followed until the limit. */
export async function probe(address: string, options: ProbeOptions = {}): Promise<Probe> {
  const { limitMs = 400, ballastBytes = 0, pingsLast = false, nonsense = false } = options
  const ping = frame(pingType, Buffer.alloc(8))
  const [host = '', port = ''] = address.split(':')
  const start = performance.now()
  const socket = connect({ host, port: Number(port) })
  let received = Buffer.alloc(0)
  let outcome: Probe['outcome'] | undefined
  const ended = new Promise<void>(resolve => {
    const end = (what: Probe['outcome']): void => {
      outcome ??= what
      resolve()
    }
    socket.on('connect', () => {
      socket.write(
        nonsense
          ? Buffer.alloc(64, 'x')
          : Buffer.concat([preface, frame(4, Buffer.alloc(0)), ...(pingsLast ? [] : [ping])]),
      )
      for (let left = ballastBytes; left > 0; left -= frameBytesMax)
        socket.write(frame(unknownType, Buffer.alloc(Math.min(left, frameBytesMax))))
      if (pingsLast) socket.write(ping)
    })
    socket.on('data', bytes => {
      received = Buffer.concat([received, bytes])
      if (!nonsense && (ballastBytes === 0 || pingsLast) && holdsPong(received)) end('answered')
    })
    socket.on('error', error => end((error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'refused' : 'reset'))
    socket.on('end', () => end('closed'))
    socket.on('close', () => end('closed'))
  })
  const expired = new AbortController()
  try {
    await Promise.race([ended, delay(limitMs, undefined, { signal: expired.signal }).catch(() => {})])
  } finally {
    expired.abort()
    socket.destroy()
  }
  outcome ??= holdsPong(received) ? 'answered' : 'silent'
  return { outcome, tookMs: performance.now() - start, bytes: received.length }
}
