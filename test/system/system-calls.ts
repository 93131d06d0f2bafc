/** The system calls of a process, as strace writes them down. */

import { readFile } from 'node:fs/promises'

export interface SystemCall {
  readonly thread: number
  readonly name: string
  /** Of the descriptor that is the first argument; a socket is `socket:[number]`. */
  readonly target: string | undefined
  /** All strings among the arguments, in order: paths, and the beginning of what is written. */
  readonly strings: readonly string[]
  /** As it stands between the brackets. */
  readonly text: string
  /** Undefined if the process ended within the call. */
  readonly result: number | undefined
  /** Lines of the trace: one call comes before another if it ended before that began. */
  readonly began: number
  readonly ended: number
}

/** The calls that change files or answer clients. */
export const changingCalls = [
  ...['open', 'openat', 'creat', 'mkdir', 'mkdirat'],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendto', 'sendmsg'],
  ...['fsync', 'fdatasync', 'sync_file_range', 'ftruncate', 'fallocate'],
  ...['link', 'linkat', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir'],
]

/** The options that `readSystemCalls` needs. */
export function traceOptionsFor(calls: readonly string[]): string[] {
  return [...['-f', '-y', '-s', '32'], '-e', 'signal=none', '-e', `trace=${calls.join(',')}`]
}

export const traceOptions = traceOptionsFor(changingCalls)

/** @param path of what `strace -f -y -o` wrote. */
export async function readSystemCalls(path: string): Promise<SystemCall[]> {
  const calls: SystemCall[] = []
  // Of each thread, what another thread's line interrupted.
  const begun = new Map<number, { began: number; text: string }>()

  const lines = (await readFile(path, 'utf8')).split('\n')
  lines.forEach((line, index) => {
    const [, number = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const thread = Number(number)
    const [, beginning] = /^(.*) <unfinished \.\.\.>$/.exec(rest) ?? []
    if (beginning !== undefined) {
      begun.set(thread, { began: index, text: beginning })
      return
    }
    const [, ending] = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest) ?? []
    const start = ending === undefined ? undefined : begun.get(thread)
    const call = parseCall(`${start?.text ?? ''}${ending ?? rest}`)
    if (call === undefined) return
    calls.push({ ...call, thread, began: start?.began ?? index, ended: index })
  })
  return calls.sort((a, b) => a.began - b.began)
}

function parseCall(text: string): Omit<SystemCall, 'thread' | 'began' | 'ended'> | undefined {
  const [, name, args, result] = /^(\w+)\((.*)\) += (-?\d+|\?)/.exec(text) ?? []
  if (name === undefined || args === undefined) return undefined
  return {
    name,
    target: /^\d+<([^>]*)>/.exec(args)?.[1],
    strings: [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, string = '']) => string),
    text: args,
    result: result === '?' ? undefined : Number(result),
  }
}
