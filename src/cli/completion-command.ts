// Completion for shells, made from the commands themselves: nothing here knows one by name. Every script finds out in
// the same way where it is: it walks over the words, past the values of options, into subcommands.

import { Argument, type Command, type Option } from 'commander'
import type { CommandContext } from './cli.ts'
import { exitCodes, write } from './io.ts'

const shells = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof shells)[number]

const remarks: Readonly<Record<Shell, string>> = {
  bash: '# For bash: put `source <(quorate completion bash)` into ~/.bashrc.',
  zsh: '# For zsh: put `source <(quorate completion zsh)` behind compinit into ~/.zshrc.',
  fish: '# For fish: quorate completion fish > ~/.config/fish/completions/quorate.fish',
}

export function addCompletionCommand(program: Command, { io, run }: CommandContext): void {
  program
    .command('completion')
    .description('print a completion script; its first lines say where it goes')
    .addArgument(new Argument('<shell>', 'whose').choices(shells))
    .action(
      run(async (shell: Shell) => {
        await write(io.stdout, completionScript(program, shell))
        return exitCodes.done
      }),
    )
}

interface OptionShape {
  readonly long: string
  /** Empty: it has none. */
  readonly short: string
  readonly description: string
  readonly takes: 'nothing' | 'file' | 'value'
  readonly choices: readonly string[]
}

/** A command by its path, such as `quorate member add`. */
interface CommandShape {
  readonly path: string
  readonly commands: readonly { readonly name: string; readonly description: string }[]
  readonly options: readonly OptionShape[]
  /** What its first argument may be. */
  readonly choices: readonly string[]
}

function completionScript(program: Command, shell: Shell): string {
  const shapes = shapesOf(program, program.name())
  switch (shell) {
    case 'bash':
      return bashScript(shapes)
    case 'zsh':
      return zshScript(shapes)
    case 'fish':
      return fishScript(shapes)
  }
}

function shapesOf(command: Command, path: string): CommandShape[] {
  const shape = {
    path,
    commands: command.commands.map(child => ({ name: child.name(), description: child.description() })),
    options: [...command.options.map(optionShape), helpShape],
    choices: command.registeredArguments[0]?.argChoices ?? [],
  }
  return [shape, ...command.commands.flatMap(child => shapesOf(child, `${path} ${child.name()}`))]
}

/** Commander adds it where it is looked for. */
const helpShape: OptionShape = {
  long: '--help',
  short: '-h',
  description: 'display help for command',
  takes: 'nothing',
  choices: [],
}

function optionShape(option: Option): OptionShape {
  const isFile = /<(file|directory)>/.test(option.flags)
  const takesValue = option.required || option.optional
  return {
    long: option.long ?? '',
    short: option.short ?? '',
    description: option.description,
    takes: takesValue ? (isFile ? 'file' : 'value') : 'nothing',
    choices: option.argChoices ?? [],
  }
}

const namesOf = ({ long, short }: OptionShape): string[] => [long, short].filter(name => name !== '')
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
/** `'a'|'b'`, or what never is. */
const patterns = (words: readonly string[]): string => (words.length === 0 ? "''" : words.map(quote).join('|'))

/** What is followed by a value, and what leads into a subcommand, by their paths. */
function stepsOf(shapes: readonly CommandShape[]): { readonly values: string[]; readonly commands: string[] } {
  return {
    values: shapes.flatMap(({ path, options }) =>
      options
        .filter(({ takes }) => takes !== 'nothing')
        .flatMap(namesOf)
        .map(name => `${path} ${name}`),
    ),
    commands: shapes.slice(1).map(({ path }) => path),
  }
}

/** Those of one `path` whose values are files, or one of some words. */
function valuesOf(shapes: readonly CommandShape[], found: (option: OptionShape) => boolean): [string, OptionShape][] {
  return shapes.flatMap(({ path, options }) =>
    options
      .filter(found)
      .map((option): [string, OptionShape] => [patterns(namesOf(option).map(name => `${path} ${name}`)), option]),
  )
}

/** For bash and zsh: sets `at` to the command, and `before` to an option whose value is being written. */
function walk(shapes: readonly CommandShape[], words: string): string {
  const steps = stepsOf(shapes)
  return `  local at=${shapes[0]?.path} before= word
  for word in ${words}; do
    if [[ -n $before ]]; then before=; continue; fi
    case "$at $word" in
      ${patterns(steps.values)}) before="$at $word" ;;
      ${patterns(steps.commands)}) at="$at $word" ;;
    esac
  done`
}

function bashScript(shapes: readonly CommandShape[]): string {
  const list = (words: readonly string[]): string => quote(words.join(' '))
  const files = valuesOf(shapes, ({ takes }) => takes === 'file').map(([names]) => names)
  const choices = valuesOf(shapes, option => option.choices.length > 0)
  return `${remarks.bash}
_quorate() {
  local current=\${COMP_WORDS[COMP_CWORD]} found= files=
${walk(shapes, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"')}
  if [[ -n $before ]]; then
    case $before in
      ${files.join('|') || "''"}) files=1 ;;
${choices.map(([names, option]) => `      ${names}) found=${list(option.choices)} ;;`).join('\n')}
    esac
  elif [[ $current == -* ]]; then
    case $at in
${shapes.map(({ path, options }) => `      ${quote(path)}) found=${list(options.flatMap(namesOf))} ;;`).join('\n')}
    esac
  else
    case $at in
${shapes.map(shape => `      ${quote(shape.path)}) found=${list(wordsOf(shape))} ;;`).join('\n')}
    esac
  fi
  # As bash 3.2 can, too, which has no mapfile and no compopt.
  if [[ -n $files ]]; then
    local IFS=$'\\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -W "$found" -- "$current"))
  fi
}
complete -F _quorate quorate
`
}

function wordsOf({ commands, choices }: CommandShape): string[] {
  return [...commands.map(({ name }) => name), ...choices]
}

function zshScript(shapes: readonly CommandShape[]): string {
  const list = (words: readonly (readonly [name: string, description: string])[]): string =>
    words.map(([name, description]) => quote(`${name}:${description}`)).join(' ')
  const optionsOf = ({ options }: CommandShape): string =>
    list(options.flatMap(option => namesOf(option).map(name => [name, option.description] as const)))
  const commandsOf = ({ commands, choices }: CommandShape): string =>
    list([
      ...commands.map(({ name, description }) => [name, description] as const),
      ...choices.map(choice => [choice, ''] as const),
    ])
  const files = valuesOf(shapes, ({ takes }) => takes === 'file').map(([names]) => names)
  const choices = valuesOf(shapes, option => option.choices.length > 0)
  return `#compdef quorate
${remarks.zsh}
_quorate() {
  local -a found
${walk(shapes, '"${(@)words[2,CURRENT-1]}"')}
  if [[ -n $before ]]; then
    case $before in
      ${files.join('|') || "''"}) _files; return ;;
${choices.map(([names, option]) => `      ${names}) compadd -- ${option.choices.map(quote).join(' ')}; return ;;`).join('\n')}
    esac
    return 1
  fi
  if [[ \${words[CURRENT]} == -* ]]; then
    case $at in
${shapes.map(shape => `      ${quote(shape.path)}) found=(${optionsOf(shape)}) ;;`).join('\n')}
    esac
    _describe -o option found
  else
    case $at in
${shapes.map(shape => `      ${quote(shape.path)}) found=(${commandsOf(shape)}) ;;`).join('\n')}
    esac
    _describe command found
  fi
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then _quorate "$@"; else compdef _quorate quorate; fi
`
}

function fishScript(shapes: readonly CommandShape[]): string {
  const steps = stepsOf(shapes)
  // In fish a quote within quotes is escaped by a backslash.
  const fishQuote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const cases = (words: readonly string[]): string => words.map(fishQuote).join(' ')
  const lines = shapes.flatMap(({ path, commands, options, choices }) => {
    const line = `complete -c quorate -n ${fishQuote(`__quorate_is "${path}"`)}`
    return [
      ...commands.map(({ name, description }) => `${line} -a ${fishQuote(name)} -d ${fishQuote(description)}`),
      ...(choices.length === 0 ? [] : [`${line} -a ${fishQuote(choices.join(' '))}`]),
      ...options.map(option => {
        const short = option.short === '' ? '' : ` -s ${option.short.slice(1)}`
        const words = option.choices.length === 0 ? '' : ` -a ${fishQuote(option.choices.join(' '))}`
        const takes = { nothing: '', file: ' -r -F', value: ` -x${words}` }[option.takes]
        return `${line} -l ${option.long.slice(2)}${short}${takes} -d ${fishQuote(option.description)}`
      }),
    ]
  })
  return `${remarks.fish}
function __quorate_is
    set -l at ${shapes[0]?.path}
    set -l before
    for word in (commandline -opc | tail -n +2)
        if test -n "$before"
            set before
            continue
        end
        switch "$at $word"
            case ${cases(steps.values)}
                set before $word
            case ${cases(steps.commands)}
                set at "$at $word"
        end
    end
    test "$at" = $argv[1]
end
complete -c quorate -f
${lines.join('\n')}
`
}
