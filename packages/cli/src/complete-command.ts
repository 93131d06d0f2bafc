/** `coffer complete`: prints what completes commands, options and paths in a shell. */

import { Argument, type Command } from 'commander'
import { type Io, WrongUse } from './program.ts'

const shells = { bash: toBash, zsh: toZsh, fish: toFish } as const

export function addCompleteCommand(program: Command, io: Io): void {
  program
    .command('complete')
    .description('Print what completes commands in bash, zsh or fish.')
    .addArgument(new Argument('[shell]', 'the shell that reads it').choices(Object.keys(shells)))
    .addHelpText(
      'after',
      '\nFor the shell that runs, or in the file that it reads at its start:\n' +
        '  source <(coffer complete bash)\n' +
        '  source <(coffer complete zsh)\n' +
        '  coffer complete fish | source',
    )
    .action((shell: string | undefined) => {
      if (!isShell(shell)) {
        throw new WrongUse('Which shell? Give bash, zsh or fish: source <(coffer complete bash)')
      }
      io.stdout.write(shells[shell](program.commands.map(toWords)))
    })
}

function isShell(name: string | undefined): name is keyof typeof shells {
  return name !== undefined && Object.hasOwn(shells, name)
}

interface Words {
  readonly name: string
  readonly description: string
  readonly options: readonly OptionWords[]
  /** What the first argument may be, where that is known. */
  readonly choices: readonly string[]
}

interface OptionWords {
  readonly long: string
  readonly description: string
  readonly takesValue: boolean
  readonly choices: readonly string[]
}

/** The words are printed once, so that a shell completes them without a process at every key. */
function toWords(command: Command): Words {
  const help = { long: '--help', description: 'display help', takesValue: false, choices: [] }
  const options = command.options.map(({ long, description, required, argChoices }) => ({
    long: long ?? '',
    description: description.replace(/ \(env:.*| \(default:.*/, ''),
    takesValue: required,
    choices: argChoices ?? [],
  }))
  return {
    name: command.name(),
    description: command.description(),
    options: [...options, help],
    choices: command.registeredArguments[0]?.argChoices ?? [],
  }
}

/** The words that may stand behind a command or an option, which `place` names as COMMAND:WORD. */
function knownValues(commands: readonly Words[]): { place: string; values: string }[] {
  return commands.flatMap(({ name, choices, options }) =>
    [{ long: name, choices }, ...options]
      .filter((word) => word.choices.length > 0)
      .map((word) => ({ place: `${name}:${word.long}`, values: word.choices.join(' ') })),
  )
}

/** Where no word of ours fits, bash completes a path. */
function toBash(commands: readonly Words[]): string {
  const names = (options: readonly OptionWords[]) => options.map(({ long }) => long).join(' ')
  const valueCases = knownValues(commands).map(
    ({ place, values }) => `    ${place}) words='${values}' ;;\n`,
  )
  const optionCases = commands.map(
    ({ name, options }) => `      ${name}) words='${names(options)}' ;;\n`,
  )
  return `# Completion of coffer in bash: source <(coffer complete bash)
_coffer() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${commands.map(({ name }) => name).join(' ')} --help'
  else case \${COMP_WORDS[1]}:$before in
${valueCases.join('')}    *) if [[ $word == -* ]]; then case \${COMP_WORDS[1]} in
${optionCases.join('')}    esac; fi ;;
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o bashdefault -o default -F _coffer coffer
`
}

function toZsh(commands: readonly Words[]): string {
  const described = (word: string, text: string) => quote(`${word.replaceAll(':', '\\:')}:${text}`)
  const list = commands.map(({ name, description }) => `    ${described(name, description)}\n`)
  const valueCases = knownValues(commands).map(
    ({ place, values }) => `    ${place}) compadd ${values}; return ;;\n`,
  )
  const optionCases = commands.map(({ name, options }) => {
    const words = options.map(({ long, description }) => described(long, description))
    return `    ${name}) options=(${words.join(' ')}) ;;\n`
  })
  return `#compdef coffer
# Completion of coffer in zsh: source <(coffer complete zsh)
_coffer() {
  local -a commands options
  commands=(
${list.join('')}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2]:$words[CURRENT-1] in
${valueCases.join('')}  esac
  case $words[2] in
${optionCases.join('')}  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe -o option options
  else
    _files
  fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _coffer coffer
`
}

function toFish(commands: readonly Words[]): string {
  const lines = ['# Completion of coffer in fish: coffer complete fish | source']
  for (const { name, description, options, choices: values } of commands) {
    lines.push(`complete -c coffer -n __fish_use_subcommand -f -a ${name} -d ${quote(description)}`)
    if (values.length > 0) {
      lines.push(
        `complete -c coffer -n '__fish_seen_subcommand_from ${name}' -f -a ${quote(values.join(' '))}`,
      )
    }
    for (const { long, description: text, takesValue, choices } of options) {
      const values = choices.length > 0 ? ` -f -a ${quote(choices.join(' '))}` : ''
      lines.push(
        `complete -c coffer -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)}` +
          `${takesValue ? ' -r' : ''}${values} -d ${quote(text)}`,
      )
    }
  }
  return `${lines.join('\n')}\n`
}

/** As one word of any of the three shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", '’')}'`
}
