/** The program `coffer`, as a function from arguments to an exit code. */

import { Command, CommanderError } from 'commander'
import { Failure, type Io } from './program.ts'
import { addServeCommand } from './serve-command.ts'

/** @returns 0, 1 for a problem, 2 for wrong use. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const program = new Command('coffer')
    .description('A self-hosted Files service that speaks the OpenAI Files API.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    })
  addServeCommand(program, io)
  try {
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (!(error instanceof Failure)) throw error
    io.stderr.write(`${error.message}\n`)
    return 1
  }
}
