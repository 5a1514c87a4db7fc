// What a `make` target is told by its variables.

/** The whole number in the variable `name`, at least `least`; without it, `fallback`. Anything else ends the process. */
export function numberOf(name: string, fallback: number, least = 0): number {
  const text = process.env[name]
  if (text === undefined || text === '') return fallback
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  console.error(`${name}=${text}: a whole number from ${least} up, such as ${name}=${fallback}`)
  process.exit(2)
}
