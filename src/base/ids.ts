// Brands over numbers and strings, so that a term is never passed for an index. They cost nothing at run time.

declare const brand: unique symbol
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }

/** An election's number. Safe integer, 0 before the first. */
export type Term = Brand<number, 'Term'>
/** A log position. Safe integer, the first entry is 1; 0 is before every entry. */
export type Index = Brand<number, 'Index'>
/** A range's id, > 0, never reused. */
export type RangeId = Brand<number, 'RangeId'>
/** A replica's id, > 0, unique in its range and never reused; 0 means none. */
export type ReplicaId = Brand<number, 'ReplicaId'>
/** A node's name as its operator gave it: 1–63 of [a-z0-9-], such as n1. */
export type NodeId = Brand<string, 'NodeId'>
/** 16 random bytes in lower-case hex, born with a data directory. */
export type StoreId = Brand<string, 'StoreId'>
/** 16 random bytes in lower-case hex, born with `init`. */
export type ClusterId = Brand<string, 'ClusterId'>
/** 0 user, 1 system. */
export type Keyspace = Brand<number, 'Keyspace'>

export const asTerm = (value: number): Term => value as Term
export const asIndex = (value: number): Index => value as Index
export const asRangeId = (value: number): RangeId => value as RangeId
export const asReplicaId = (value: number): ReplicaId => value as ReplicaId
export const asNodeId = (value: string): NodeId => value as NodeId
export const asStoreId = (value: string): StoreId => value as StoreId
export const asClusterId = (value: string): ClusterId => value as ClusterId

export const noReplica: ReplicaId = asReplicaId(0)
export const userKeyspace = 0 as Keyspace
export const systemKeyspace = 1 as Keyspace
