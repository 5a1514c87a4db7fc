// A seeded generator (xoshiro128**, Blackman & Vigna 2018): the same seed gives the same numbers, everywhere.
// Not for secrets.

export interface Prng {
  /** Uniform in [0, 1). */
  next(): number
  /** Uniform integer in [0, bound). */
  below(bound: number): number
}

export function createPrng(seed: number): Prng {
  // SplitMix32 spreads one number over the state, which must not be all zero.
  let mix = seed >>> 0
  const splitMix = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0
    let z = mix
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  let a = splitMix()
  let b = splitMix()
  let c = splitMix()
  let d = splitMix() | 1
  const nextInt = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotateLeft(d, 11)
    return result
  }
  return {
    next: () => nextInt() / 0x1_0000_0000,
    below: bound => Math.floor((nextInt() / 0x1_0000_0000) * bound),
  }
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k))
}
