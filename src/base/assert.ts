// Assertions stay on in production: a wrong answer is worse than none.

/** A broken invariant. It is never caught to go on: in the core it ends the process, at apply it stops the replica. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** The value, which must be there. */
export function must<T>(value: T | undefined | null, message = 'a value that must be there is missing'): T {
  if (value === undefined || value === null) throw new AssertionError(message)
  return value
}

/** The default of every switch over a union: the compiler proves that nothing gets here. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
