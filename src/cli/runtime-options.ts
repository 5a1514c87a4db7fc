// What Node is told when it runs a node of Quorate; the launcher's first line and the image say the same.
//
// The options are about buffers: V8 counts their bytes, which lie outside its heap, as if they were old objects.
//
// - V8 would let the space of young objects grow to 64 MiB a half, and frees the buffers of messages only when it collects
//   that space. With 8 MiB it does so eight times as often, and the memory stays warm (measured at 256 callers: gets
//   +23 %, their p99 from 12.6 to 5.1 ms, 100 MiB less over three nodes, puts no slower).
// - It marks all old objects whenever they and the buffers have grown to some multiple, at most four, of what was left the
//   time before. A node's heap is small, 20 to 30 MiB, and its buffers come fast: a multiple of eleven (measured: puts of
//   16 KiB +60 %, a snapshot of 512 MiB in 10.9 instead of 15.4 s, 25 MiB more a node).

export const runtimeOptions = ['--max-semi-space-size=8', '--heap-growing-percent=1000'] as const

/**
 * How glibc keeps what was freed; other systems do not know this. By itself it raises the bound from which pieces are mapped
 * one by one with every large one that is freed. Then the buffers of seconds, up to a mebibyte each, lie among LevelDB's small
 * pieces, and leave holes between them that are never given back. Fixed at its default of 128 KiB, large ones go back as they
 * are freed. With the log's entries in slabs (log/entry-cache.ts), a node at half load has 0.5 instead of 1.2 GiB in memory
 * after an hour.
 */
export const runtimeEnvironment = { MALLOC_MMAP_THRESHOLD_: '131072' } as const
