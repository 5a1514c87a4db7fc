// The file of `--config`: one JSON object whose names are the flags, without dashes.

import { readFileSync } from 'node:fs'

export interface ConfigFile {
  readonly path: string
  readonly options: ReadonlyMap<string, unknown>
}

/** Adds to `mistakes` why the file cannot be used, with the remedy; then it holds no options. */
export function readConfigFile(path: string, mistakes: string[]): ConfigFile {
  const none: ConfigFile = { path, options: new Map() }
  const mistake = (why: string): ConfigFile => {
    mistakes.push(`--config ${path}: ${why}`)
    return none
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if (error instanceof TypeError) return mistake('it is not UTF-8: save it with that encoding')
    return mistake(`it cannot be read: ${messageOf(error)}`)
  }
  // The decoder has dropped a byte order mark, which some editors put in front.
  if (text.trim() === '') return mistake('it is empty: it must hold one JSON object, {} at least')
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    return mistake(`it is no JSON: ${messageOf(error)}`)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    return mistake('it must hold one JSON object whose names are the flags, without dashes')
  return { path, options: new Map(Object.entries(parsed)) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
