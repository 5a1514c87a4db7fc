// What to do about a data directory that cannot be gone on with. No message tells anybody to delete one: it may hold the only
// copy of something, and nobody can know that from here.

/** For a store that must not vote again, or whose state cannot be trusted. */
export const startAnew =
  'Move this data directory aside, do not delete it, and start the node with an empty one: it joins its cluster ' +
  'anew as another store, and its peers rebuild it, as long as a majority of the voters is well without it. ' +
  'Without such a majority this directory may hold the only copy of what was written last: keep it.'
