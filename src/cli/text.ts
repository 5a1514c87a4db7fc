// How bytes, instants and tables look to people, and to programs that read JSON.

import Table from 'cli-table3'
import { timestampToDate } from '../client/client.ts'

// A mark of byte order is part of the text that was written.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function asText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** `{ name: text }`, or `{ nameBase64: … }` for what is no UTF-8, or as `form` says: nothing is lost on the way. */
export function bytesToJson(name: string, bytes: Uint8Array, form: 'text' | 'base64' | 'hex'): Record<string, string> {
  if (form === 'hex') return { [`${name}Hex`]: Buffer.from(bytes).toString('hex') }
  const text = form === 'text' ? asText(bytes) : undefined
  return text === undefined ? { [`${name}Base64`]: Buffer.from(bytes).toString('base64') } : { [name]: text }
}

/**
 * One line: control characters, invisible ones and bytes that are no text are escaped byte by byte, so that they cannot
 * drive a terminal, nor look like what they are not.
 */
export function bytesToLine(bytes: Uint8Array): string {
  const text = asText(bytes)
  if (text === undefined)
    return Buffer.from(bytes)
      .toString('latin1')
      .replace(/[^\x20-\x7e]|\\/g, escapeByte)
  return text.replace(/\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}|\\/gu, character =>
    character.length === 1 && character < '\x80' ? escapeByte(character) : escapeAll(character),
  )
}

function escapeAll(character: string): string {
  return Buffer.from(character).toString('latin1').replace(/./gs, escapeByte)
}

function escapeByte(character: string): string {
  switch (character) {
    case '\n':
      return '\\n'
    case '\t':
      return '\\t'
    case '\\':
      return '\\\\'
    default:
      return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  }
}

export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

export function timestampToText(timestamp: number): string {
  return timestamp === 0 ? '' : timestampToDate(timestamp).toISOString()
}

export type Column = readonly [title: string, align: 'left' | 'right']

export function table(columns: readonly Column[], rows: readonly (readonly (string | number)[])[]): string {
  const drawn = new Table({
    head: columns.map(([title]) => title),
    colAligns: columns.map(([, align]) => align),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  })
  for (const row of rows) drawn.push([...row])
  const lines = drawn.toString().split('\n')
  return `${lines.map(line => line.trimEnd()).join('\n')}\n`
}
