// Keys and values on the command line: as text, or as base64 or hex for whatever is no text. Output takes the forms that
// input does, so that what is shown can be read and deleted again.

import { type Command, Option } from 'commander'
import { UsageError, readValue } from './arguments.ts'
import type { CliIo } from './io.ts'
import { bytesToLine } from './text.ts'

export type ByteForm = 'text' | 'base64' | 'hex'

export interface ByteFlags {
  readonly keyBase64?: boolean
  readonly keyHex?: boolean
  readonly valueBase64?: boolean
  readonly valueHex?: boolean
}

export function addKeyForms(command: Command): Command {
  return command
    .addOption(new Option('--key-base64', 'keys are base64, given and shown').conflicts('keyHex'))
    .addOption(new Option('--key-hex', 'keys are hex, given and shown'))
}

export function addValueForms(command: Command): Command {
  return command
    .addOption(new Option('--value-base64', 'values are base64, given and shown').conflicts('valueHex'))
    .addOption(new Option('--value-hex', 'values are hex, given and shown'))
}

export function keyFormOf({ keyBase64, keyHex }: ByteFlags): ByteForm {
  if (keyBase64 === true) return 'base64'
  return keyHex === true ? 'hex' : 'text'
}

export function valueFormOf({ valueBase64, valueHex }: ByteFlags): ByteForm {
  if (valueBase64 === true) return 'base64'
  return valueHex === true ? 'hex' : 'text'
}

/** `name`: what it is, for the message of the UsageError that is thrown when it is not in `form`. */
export function parseBytes(given: string, form: ByteForm, name: string): string | Uint8Array {
  switch (form) {
    case 'text':
      refuseLostBytes(given, name)
      return given
    case 'base64':
      return decodeBase64(given, name)
    case 'hex':
      if (!/^([0-9a-f]{2})*$/i.test(given)) throw new UsageError(`${name} is no hex: pairs of 0-9 and a-f`)
      return Buffer.from(given, 'hex')
  }
}

function decodeBase64(given: string, name: string): Uint8Array {
  const bytes = Buffer.from(given, 'base64')
  // Node skips what is no base64; what does not come out again was altered.
  if (bytes.toString('base64').replace(/=+$/, '') !== given.replace(/={0,2}$/, '')) {
    throw new UsageError(`${name} is no base64, as the command base64 writes it`)
  }
  return bytes
}

/** Node makes U+FFFD of bytes of the command line that are no UTF-8: which ones they were is lost. */
function refuseLostBytes(given: string, name: string): void {
  if (!given.includes('\ufffd')) return
  const option = name.startsWith('VALUE') || name === 'EXPECTED' || name === 'NEW' ? 'value' : 'key'
  const others = option === 'value' ? ', standard input (-) or a file (@file)' : ''
  throw new UsageError(
    `${name} holds bytes that are no UTF-8, which are lost on the way: give it by --${option}-base64 or --${option}-hex${others}`,
  )
}

/** On one line. */
export function showBytes(bytes: Uint8Array, form: ByteForm): string {
  return form === 'text' ? bytesToLine(bytes) : Buffer.from(bytes).toString(form)
}

/** A value of the command line, a file or standard input; `form` holds for all three. */
export async function readBytes(given: string, form: ByteForm, name: string, io: CliIo): Promise<string | Uint8Array> {
  const read = await readValue(given, io)
  if (typeof read === 'string') return parseBytes(read, form, name)
  if (form === 'text') return read
  return parseBytes(Buffer.from(read).toString('latin1').replace(/\s/g, ''), form, name)
}

export function asBytes(given: string | Uint8Array): Uint8Array {
  return typeof given === 'string' ? Buffer.from(given) : given
}
