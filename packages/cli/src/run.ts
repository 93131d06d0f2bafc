/** The program `coffer`, as a function from arguments to an exit code. */

import { Command, CommanderError } from 'commander'
import { addDeleteCommand } from './delete-command.ts'
import { addDownloadCommand } from './download-command.ts'
import { sentenceOf } from './failures.ts'
import { addListCommand } from './list-command.ts'
import { Failure, type Io, Stopped, WrongUse } from './program.ts'
import { addShowCommand } from './show-command.ts'
import { addUploadCommand } from './upload-command.ts'

/** As a shell says it of a program that Ctrl-C ended. */
const stoppedExitCode = 130

/** @returns 0, 1 for a problem, 2 for wrong use, 130 if the user stopped it. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const program = new Command('coffer')
    .description('Files for AI systems: a server that speaks the OpenAI Files API, and its tools.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    })
    .addHelpText(
      'after',
      '\nThe server is the one that OPENAI_BASE_URL and OPENAI_API_KEY name:\n' +
        '  coffer upload reports/ notes.txt\n' +
        '  coffer list\n' +
        '  coffer download file-… --output there/\n' +
        '  coffer delete file-…',
    )
  try {
    await addCommands(program, args, io)
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    return toExitCode(error, io)
  }
}

async function addCommands(program: Command, args: readonly string[], io: Io): Promise<void> {
  // Only these need the server's code, which takes longer to load than a small file to upload.
  if (args[0] === 'serve' || args[0] === 'complete') {
    const { addServeCommand } = await import('./serve-command.ts')
    addServeCommand(program, io)
  } else {
    program.command('serve').description('Serve files from this machine.')
  }
  addUploadCommand(program, io)
  addListCommand(program, io)
  addShowCommand(program, io)
  addDownloadCommand(program, io)
  addDeleteCommand(program, io)
  if (args[0] === 'complete') {
    const { default: tab } = await import('@bomb.sh/tab/commander')
    tab(program)
  } else {
    program.command('complete').description('Print what completes commands in bash, zsh or fish.')
  }
}

function toExitCode(error: unknown, { stderr }: Io): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const say = (sentence: string) => stderr.write(`coffer: ${sentence}\n`)
  if (error instanceof Stopped) return stoppedExitCode
  if (error instanceof WrongUse) {
    say(error.message)
    return 2
  }
  if (error instanceof Failure) say(error.message)
  else say(sentenceOf(error))
  return 1
}
