// The known name that somebody probably meant, for messages about unknown ones. Source: the optimal string alignment
// distance (Damerau 1964, without repeated edits of one place).

/** The known name nearest to `given`, whatever its case and separators; undefined when none is near. */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  const plain = plainName(given)
  let nearest: string | undefined
  let least = Math.max(1, Math.floor(plain.length / 3)) + 1
  for (const name of known) {
    const distance = editDistance(plain, plainName(name))
    if (distance >= least) continue
    least = distance
    nearest = name
  }
  return nearest
}

/** A suggestion in brackets, to put behind what was given, or nothing. */
export function didYouMean(given: string, known: Iterable<string>): string {
  const nearest = nearestName(given, known)
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`
}

function plainName(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9]/g, '').toLowerCase()
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `left` into `right`. */
function editDistance(left: string, right: string): number {
  let before: number[] = []
  let above = Array.from({ length: right.length + 1 }, (_, at) => at)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1]
      let distance = Math.min(above[column]! + 1, current[column - 1]! + 1, above[column - 1]! + (same ? 0 : 1))
      const isSwap = row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      if (isSwap) distance = Math.min(distance, before[column - 2]! + 1)
      current.push(distance)
    }
    before = above
    above = current
  }
  return above[right.length]!
}
