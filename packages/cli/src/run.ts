/** The program `coffer`, as a function from arguments to an exit code. */

import { Command, CommanderError } from 'commander'
import { sentenceOf } from './failures.ts'
import { Failure, type Io, OutputClosed, Stopped, WrongUse } from './program.ts'

/** As a shell says it of a program that Ctrl-C ended. */
const stoppedExitCode = 130
/** As a shell says it of a program whose reader left. */
const outputClosedExitCode = 141

/** @returns 0, 1 for a problem, 2 for wrong use, 130 if the user stopped it, 141 if nobody reads. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  // A reader that leaves is no crash; interruptible() ends what writes on.
  io.stdout.on('error', () => {})
  const program = new Command('coffer')
    .description('Files for AI systems: a server that speaks the OpenAI Files API, and its tools.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // Said by toExitCode, as all problems are.
      outputError: () => {},
    })
    .addHelpText(
      'after',
      '\nThe server is the one that OPENAI_BASE_URL and OPENAI_API_KEY name:\n' +
        '  coffer upload reports/ notes.txt\n' +
        '  coffer list\n' +
        '  coffer download file-… --output there/\n' +
        '  coffer delete file-…\n' +
        'More about each: coffer help upload, and so on.',
    )
  try {
    await addCommands(program, args, io)
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    return toExitCode(error, program, args, io)
  }
}

type AddCommand = (program: Command, io: Io) => void

/** In the order of the help. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  serve: async () => (await import('./serve-command.ts')).addServeCommand,
  upload: async () => (await import('./upload-command.ts')).addUploadCommand,
  check: async () => (await import('./check-command.ts')).addCheckCommand,
  list: async () => (await import('./list-command.ts')).addListCommand,
  show: async () => (await import('./show-command.ts')).addShowCommand,
  download: async () => (await import('./download-command.ts')).addDownloadCommand,
  delete: async () => (await import('./delete-command.ts')).addDeleteCommand,
  import: async () => (await import('./import-command.ts')).addImportCommand,
  export: async () => (await import('./export-command.ts')).addExportCommand,
  fsck: async () => (await import('./fsck-command.ts')).addFsckCommand,
  scrub: async () => (await import('./scrub-command.ts')).addScrubCommand,
  backup: async () => (await import('./backup-command.ts')).addBackupCommand,
  restore: async () => (await import('./restore-command.ts')).addRestoreCommand,
  migrate: async () => (await import('./migrate-command.ts')).addMigrateCommand,
  complete: async () => (await import('./complete-command.ts')).addCompleteCommand,
}

/** Loads only what is asked for: to load the rest takes longer than to upload a small file. */
async function addCommands(program: Command, args: readonly string[], io: Io): Promise<void> {
  const [first = ''] = args
  if (Object.hasOwn(commands, first) && first !== 'complete') {
    const add = await commands[first]?.()
    add?.(program, io)
    return
  }
  const needsServe = first === 'complete' || (first === 'help' && args[1] === 'serve')
  for (const [name, load] of Object.entries(commands)) {
    if (name === 'serve' && !needsServe) {
      program.command('serve').description('Serve files from this machine.')
    } else {
      const add = await load()
      add(program, io)
    }
  }
}

function toExitCode(
  error: unknown,
  program: Command,
  args: readonly string[],
  { stderr }: Io,
): number {
  const say = (sentence: string) => stderr.write(`coffer: ${sentence}\n`)
  if (error instanceof OutputClosed) return outputClosedExitCode
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0
    // Without a command the help was shown, which says it all.
    if (error.code !== 'commander.help') say(`${sentenceOfUse(error)} ${hint(program, args)}`)
    return 2
  }
  if (error instanceof Stopped) {
    // Over the ^C that the terminal has written.
    if (stderr.isTTY === true) stderr.write('\r\x1b[K')
    say(error.message)
    return stoppedExitCode
  }
  if (error instanceof WrongUse) {
    say(error.message)
    return 2
  }
  // A list of wrong settings keeps its lines.
  const sentence = error instanceof Failure ? error.message : sentenceOf(error)
  if (sentence !== '') say(sentence)
  return 1
}

/** Of `error: unknown option '--purpos'\n(Did you mean --purpose?)`, a sentence. */
function sentenceOfUse({ message }: CommanderError): string {
  const sentence = message.replace(/^error: /, '').replaceAll('\n', ' ')
  return /[.?)]$/.test(sentence) ? sentence : `${sentence}.`
}

function hint(program: Command, [first]: readonly string[]): string {
  const known = program.commands.some((command) => command.name() === first)
  return known ? `See coffer ${first} --help.` : 'See coffer --help.'
}
