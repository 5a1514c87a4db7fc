// Keys and values as callers give them, and as the wire wants them. Text is UTF-8.

import { KvError } from '../base/errors.ts'
import { describe } from './option-check.ts'

/**
 * A key or a value: text (UTF-8), or exactly the bytes of a view or a buffer. It is copied when the call is made: what
 * becomes of a buffer afterwards changes nothing.
 */
export type Bytes = string | ArrayBufferView | ArrayBuffer | SharedArrayBuffer

export const noBytes: Uint8Array = new Uint8Array(0)

/**
 * A copy of what was given. Throws KvError `invalid-argument` for anything whose bytes are a matter of opinion: numbers,
 * objects, arrays, text that UTF-8 cannot hold. `name`: what it is, for the message.
 */
export function toBytes(value: Bytes, name: string): Uint8Array {
  if (typeof value === 'string') {
    if (value.isWellFormed()) return Buffer.from(value, 'utf8')
    throw invalid(name, 'is text with half a surrogate pair, which UTF-8 cannot hold: give its bytes')
  }
  const view = ArrayBuffer.isView(value) ? value : isBuffer(value) ? new Uint8Array(value) : undefined
  if (view === undefined) throw invalid(name, wrongType(value))
  const { buffer, byteOffset, byteLength } = view
  // Its bytes went elsewhere: it would look like an empty value.
  if ((buffer as ArrayBuffer).detached) throw invalid(name, 'is a view of a buffer that was transferred away')
  return Buffer.from(new Uint8Array(buffer, byteOffset, byteLength))
}

function invalid(name: string, what: string): KvError {
  return new KvError('invalid-argument', `${name} ${what}`, { details: { option: name.replace(/^.*: /, '') } })
}

/** It names the type alone: a value may be a secret. */
function wrongType(value: unknown): string {
  const isMissing = value === null || value === undefined
  const type = isMissing || typeof value === 'object' ? describe(value) : `a ${typeof value}`
  const remedy = isMissing ? '' : ': turn it into text yourself, for instance with JSON.stringify'
  return `is ${type}; it must be a string or bytes${remedy}`
}

function isBuffer(value: unknown): value is ArrayBuffer | SharedArrayBuffer {
  // By its tag, too: one of another realm, as a test runner has, is of another class.
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return true
  const tag = Object.prototype.toString.call(value)
  return (
    (tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]') &&
    typeof (value as ArrayBuffer).byteLength === 'number' &&
    typeof (value as ArrayBuffer).slice === 'function'
  )
}

/** A copy: decoded bytes are views of a whole response, which they would keep alive. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return bytes.length === 0 ? noBytes : Buffer.from(bytes)
}

// A mark of byte order is part of the text that was written.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bytes as text. Throws KvError `invalid-argument` for what is no UTF-8. */
export function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (error) {
    const message = 'the value is no UTF-8 text: read its bytes with get'
    throw new KvError('invalid-argument', message, { cause: error })
  }
}

/** The first key after every key that begins with `prefix`; empty, the end of the keyspace, when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return noBytes
  const end = Uint8Array.from(prefix.subarray(0, length))
  end[length - 1] = (end[length - 1] ?? 0) + 1
  return end
}

/** The smallest key above `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1)
  after.set(key)
  return after
}

/** Below zero when `a` sorts before `b`, as the cluster sorts: by unsigned bytes. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}
