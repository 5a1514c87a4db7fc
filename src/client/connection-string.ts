// `quorate://host:port,host:port`: where to begin. Every node of the cluster will do.

import { KvError } from '../base/errors.ts'
import { describe } from './option-check.ts'

export const urlScheme = 'quorate://'
export const portDefault = 7101

/** Addresses as `host:port`. Throws KvError `invalid-argument` that says what is wrong. */
export function parseConnectionString(url: string): readonly string[] {
  if (typeof url !== 'string') {
    const example = `${urlScheme}127.0.0.1:7101,127.0.0.1:7102`
    throw new KvError('invalid-argument', `the address is ${describe(url)}; it must be text such as ${example}`)
  }
  if (!url.startsWith(urlScheme)) {
    throw new KvError('invalid-argument', `${JSON.stringify(url)} does not begin with ${urlScheme}`)
  }
  const list = url.slice(urlScheme.length).replace(/\/$/, '')
  const addresses = list.split(',').map(part => parseAddress(part.trim()))
  return [...new Set(addresses)]
}

function parseAddress(text: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:/?#@\s[\]]+)(?::(\d{1,5}))?$/.exec(text)
  const host = match?.[1]
  const port = match?.[2] === undefined ? portDefault : Number(match[2])
  if (host === undefined || port < 1 || port > 65_535) {
    throw new KvError(
      'invalid-argument',
      `${JSON.stringify(text)} is no address; write host:port, such as 127.0.0.1:7101`,
    )
  }
  return `${host}:${port}`
}
