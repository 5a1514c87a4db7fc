// The one check of what callers pass beside keys and values. JavaScript callers have no compiler, and an option that is
// misspelt, of another type or undefined by mistake would be left out in silence: then a call means something else than
// its author wrote. Every method names what it takes in a table; whatever is not in it is refused by name.

import { KvError } from '../base/errors.ts'
import { didYouMean } from '../base/nearest-name.ts'

/** Throws KvError `invalid-argument` that begins with `name`. */
export type OptionCheck = (value: unknown, name: string) => void
type OptionChecks = Readonly<Record<string, OptionCheck>>

/** Throws KvError `invalid-argument`. `method`: whose options they are, for the message. */
export function checkOptions(method: string, given: unknown, checks: OptionChecks): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given) || ArrayBuffer.isView(given)) {
    const names = Object.keys(checks).join(', ')
    throw refusal(method, `${method} takes an object with any of ${names}, not ${describe(given)}`)
  }
  for (const name of Object.keys(given)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) throw unknownOption(method, name, Object.keys(checks))
    check((given as Record<string, unknown>)[name], `${method}: ${name}`)
  }
}

function unknownOption(method: string, name: string, known: readonly string[]): KvError {
  const remedy = didYouMean(name, known) || `; there are ${known.join(', ')}`
  return refusal(name, `${method}: there is no ${name}${remedy}`)
}

export function refuse(name: string, what: string, value: unknown): never {
  throw refusal(name, `${name} is ${describe(value)}; it must be ${what}`)
}

/** `name`: as in a message, such as `scan: limit`. */
function refusal(name: string, message: string): KvError {
  return new KvError('invalid-argument', message, { details: { option: name.replace(/^.*: /, '') } })
}

/** Undefined is as good as left out. Only for what changes nothing but how long or how fast a call is. */
export function optional(check: OptionCheck): OptionCheck {
  return (value, name) => {
    if (value !== undefined) check(value, name)
  }
}

export function whole(least: number, most = Number.MAX_SAFE_INTEGER): OptionCheck {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  return (value, name) => {
    const isRight = Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
    if (!isRight) refuse(name, `a whole number ${range}`, value)
  }
}

/** Milliseconds that a timer can stand for. */
export function duration(mostMs: number): OptionCheck {
  return (value, name) => {
    const isRight = typeof value === 'number' && value > 0 && value <= mostMs
    if (!isRight) refuse(name, `a number of milliseconds above 0, at most ${mostMs}`, value)
  }
}

export const boolean: OptionCheck = (value, name) => {
  if (typeof value !== 'boolean') refuse(name, 'true or false', value)
}

export const functionOption: OptionCheck = (value, name) => {
  if (typeof value !== 'function') refuse(name, 'a function', value)
}

export const arrayOption: OptionCheck = (value, name) => {
  if (!Array.isArray(value)) refuse(name, 'an array', value)
}

/** By its shape, not its class: test runners and polyfills bring their own. */
export const signal: OptionCheck = (value, name) => {
  const given = value as Partial<AbortSignal> | null
  const isSignal = typeof given?.addEventListener === 'function' && typeof given.aborted === 'boolean'
  if (!isSignal) refuse(name, 'an AbortSignal', value)
}

/** Something that is checked where it is taken apart, such as a key. */
export const elsewhere: OptionCheck = () => undefined

const shownCharsMax = 40

export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > shownCharsMax ? `${value.slice(0, shownCharsMax)}…` : value)
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'bigint':
      return `a BigInt (${value})`
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return 'an array'
      return `an object (${value.constructor?.name ?? 'without a class'})`
    default:
      return `a ${typeof value}`
  }
}
