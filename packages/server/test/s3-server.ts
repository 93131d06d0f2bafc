/**
 * A real S3 server on free ports of loopback, with its data in a folder that is gone with it. It is
 * built from source once, into a cache, for which Go must be there; TEST_S3_URL names one that runs.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import type { S3Place } from '../src/blobs/s3-store.ts'

const run = promisify(execFile)

/** VersityGW knows all that we use; SeaweedFS of this version neither conditions nor checksums. */
export type S3Engine = 'versitygw' | 'seaweedfs'

/** As Go's module proxy has them; of SeaweedFS it has no newer one. */
const versions = { versitygw: 'v1.8.0', seaweedfs: 'v0.0.0-20230109022022-51d4a4b28d0e' }

const cache = join(import.meta.dirname, '../../../node_modules/.cache/coffer-test')
const credentials = { accessKeyId: 'test', secretAccessKey: 'a secret of tests' }

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** A place where nothing is. */
  makePlace(): Promise<S3Place & { endpoint: string }>
}

/**
 * Why suites with an S3 server cannot run here, to be told in their names; undefined if they can.
 *
 * @throws where they must, which is under CI.
 */
export async function whyNoS3Server(): Promise<string | undefined> {
  if (process.env['TEST_S3_URL'] !== undefined) return undefined
  try {
    await run('go', ['version'])
    return undefined
  } catch (error) {
    if (process.env['CI'] !== undefined) throw new Error('CI needs Go.', { cause: error })
    return 'skipped: no Go'
  }
}

export async function startS3Server(engine: S3Engine = 'versitygw'): Promise<S3Server> {
  const url = process.env['TEST_S3_URL']
  if (url !== undefined && engine === 'versitygw') return serverOf(new URL(url))
  const binary = await built(engine)
  const folder = await mkdtemp(join(tmpdir(), `coffer-${engine}-`))
  const start = engine === 'versitygw' ? startVersityGateway : startSeaweed
  const { child, port } = await start(binary, folder)
  const endpoint = `http://127.0.0.1:${port}`
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const server: S3Server = {
    endpoint,
    credentials,
    async makePlace() {
      const place = { bucket: `coffer-${randomUUID()}`, prefix: 'coffer/' }
      const client = new S3Client({
        ...{ endpoint, credentials, region: 'us-east-1', forcePathStyle: true },
      })
      await client.send(new CreateBucketCommand({ Bucket: place.bucket }))
      client.destroy()
      return { ...place, endpoint, credentials, region: undefined, pathStyle: true }
    },
    async [Symbol.asyncDispose]() {
      process.off('exit', kill)
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
  try {
    await untilServing(endpoint, child)
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
  return server
}

/** @param url as in `s3://bucket?endpoint=http://localhost:9000&region=us-east-1`. */
function serverOf(url: URL): S3Server {
  const endpoint = url.searchParams.get('endpoint')
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = process.env
  if (endpoint === null || accessKeyId === undefined || secretAccessKey === undefined) {
    throw new Error('TEST_S3_URL needs an endpoint, and credentials in the environment.')
  }
  const given = { accessKeyId, secretAccessKey }
  return {
    endpoint,
    credentials: given,
    async makePlace() {
      return {
        bucket: url.hostname,
        prefix: `${url.pathname.slice(1)}${randomUUID()}/`,
        region: url.searchParams.get('region') ?? undefined,
        endpoint,
        pathStyle: true,
        credentials: given,
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}

interface Started {
  readonly child: ChildProcess
  readonly port: number
}

async function startVersityGateway(binary: string, folder: string): Promise<Started> {
  const [port = 0] = await freePorts(1)
  const { accessKeyId, secretAccessKey } = credentials
  const child = spawn(
    binary,
    [
      ...['-p', `127.0.0.1:${port}`, '--quiet', '--keep-alive'],
      ...['posix', '--versioning-dir', await made(folder, 'versions'), await made(folder, 'data')],
    ],
    {
      stdio: 'ignore',
      env: { ROOT_ACCESS_KEY_ID: accessKeyId, ROOT_SECRET_ACCESS_KEY: secretAccessKey },
    },
  )
  return { child, port }
}

async function made(folder: string, name: string): Promise<string> {
  await mkdir(join(folder, name))
  return join(folder, name)
}

async function startSeaweed(binary: string, folder: string): Promise<Started> {
  const [port = 0, ...ports] = await freePorts(8)
  const config = join(folder, 's3.json')
  const { accessKeyId, secretAccessKey } = credentials
  const keys = [{ accessKey: accessKeyId, secretKey: secretAccessKey }]
  const identity = {
    name: 'test',
    credentials: keys,
    actions: ['Admin', 'Read', 'Write', 'List', 'Tagging'],
  }
  await writeFile(config, JSON.stringify({ identities: [identity] }))
  const names = ['s3.port.grpc', 'filer.port', 'filer.port.grpc', 'master.port', 'master.port.grpc']
  names.push('volume.port', 'volume.port.grpc')
  const child = spawn(
    binary,
    [
      ...['server', '-ip=127.0.0.1', '-ip.bind=127.0.0.1', `-dir=${folder}`, '-volume.max=100'],
      ...['-master.volumeSizeLimitMB=64', '-filer', '-s3', `-s3.config=${config}`],
      ...[`-s3.port=${port}`, ...names.map((name, at) => `-${name}=${ports[at]}`)],
    ],
    { stdio: 'ignore', cwd: folder },
  )
  return { child, port }
}

/** Free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

async function untilServing(endpoint: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`The S3 server ended with ${child.exitCode}.`)
    const answer = await fetch(endpoint).catch(() => undefined)
    if (answer !== undefined) return
    await sleep(50)
  }
}

/** The path of a binary, which is built if nobody did so before. */
async function built(engine: S3Engine): Promise<string> {
  const binary = join(cache, `${engine}-${versions[engine]}`)
  const lock = `${binary}.lock`
  await mkdir(cache, { recursive: true })
  while (!existsSync(binary)) {
    if (!(await locked(lock))) {
      await sleep(200)
      continue
    }
    const folder = await mkdtemp(join(cache, 'build-'))
    try {
      await rename(await builders[engine](folder), binary)
    } finally {
      await rm(lock, { force: true })
      await rm(folder, { recursive: true, force: true })
    }
  }
  return binary
}

/** Whether this process builds; another's lock counts for as long as that lives. */
async function locked(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch {
    const owner = Number(await readFile(lock, 'utf8').catch(() => ''))
    if (owner > 0 && !isAlive(owner)) await rm(lock, { force: true })
    return false
  }
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0)
  } catch {
    return false
  }
}

const builders = {
  async versitygw(folder: string) {
    const name = `github.com/versity/versitygw/cmd/versitygw@${versions.versitygw}`
    await run('go', ['install', name], { env: { ...process.env, GOBIN: folder } })
    return join(folder, 'versitygw')
  },

  async seaweedfs(folder: string) {
    const name = `github.com/seaweedfs/seaweedfs@${versions.seaweedfs}`
    const environment = { ...process.env, GOFLAGS: '-mod=mod -buildvcs=false' }
    // A module must be there in which to ask; in the source's own, Go would build nothing.
    await writeFile(join(folder, 'go.mod'), 'module build\n')
    const { stdout } = await run('go', ['mod', 'download', '-json', name], { cwd: folder })
    const { Dir } = JSON.parse(stdout) as { Dir: string }
    const source = join(folder, 'source')
    await cp(Dir, source, { recursive: true })
    // The cache of modules cannot be written to, and the copy neither.
    await chmod(source, 0o700)
    await Promise.all(['go.mod', 'go.sum'].map((file) => chmod(join(source, file), 0o600)))
    await run('go', ['build', '-o', join(folder, 'weed'), './weed'], {
      cwd: source,
      env: environment,
    })
    await run('chmod', ['-R', 'u+w', source])
    return join(folder, 'weed')
  },
}
