/**
 * A real S3 server on free ports of loopback, with its data in a folder that is gone with it. It is
 * built from source once, into a cache, for which Go must be there; TEST_S3_URL names one that runs.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import type { S3Place } from '../src/blobs/s3-store.ts'
import { freePorts } from './free-ports.ts'
import { makeGuardedFolder } from './guarded-folder.ts'

const run = promisify(execFile)

/** VersityGW knows all that we use; SeaweedFS of this version neither conditions nor checksums. */
export const s3Engines = ['versitygw', 'seaweedfs'] as const
export type S3Engine = (typeof s3Engines)[number]

/** As Go's module proxy has them; of SeaweedFS it has no newer one. */
const versions = { versitygw: 'v1.8.0', seaweedfs: 'v0.0.0-20230109022022-51d4a4b28d0e' }

const cache = join(import.meta.dirname, '../../../node_modules/.cache/coffer-test')
const credentials = { accessKeyId: 'test', secretAccessKey: 'a secret of tests' }

/** All that is needed to talk to a server. */
export interface S3Access {
  readonly endpoint: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

export interface S3Server extends S3Access, AsyncDisposable {
  /** A place where nothing is. */
  makePlace(): Promise<S3Place & S3Access>
  /** Removes all that is in a place, versions aside, and its bucket if that was made with it. */
  removePlace(place: S3Place): Promise<void>
}

export async function startS3Server(engine: S3Engine = 'versitygw'): Promise<S3Server> {
  const given = engine === 'versitygw' ? givenS3Server() : undefined
  if (given !== undefined) return given
  const binary = await buildS3Server(engine)
  const folder = await makeGuardedFolder(engine, 'KILL')
  try {
    const start = engine === 'versitygw' ? startVersityGateway : startSeaweed
    const { child, port } = await start(binary, folder.path)
    folder.guard(child)
    const endpoint = `http://127.0.0.1:${port}`
    await untilServing(endpoint, child)
    const server = s3ServerAt({ endpoint, credentials })
    return { ...server, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
  } catch (error) {
    await folder[Symbol.asyncDispose]()
    throw error
  }
}

/** A server that is not ours to end, with a bucket of its own for each place. */
export function s3ServerAt({ endpoint, credentials: keys }: S3Access): S3Server {
  const connect = () => connectTo({ endpoint, credentials: keys })
  return {
    endpoint,
    credentials: keys,
    async makePlace() {
      const bucket = `coffer-${randomUUID()}`
      using client = connect()
      await client.send(new CreateBucketCommand({ Bucket: bucket }))
      return {
        ...{ bucket, prefix: 'coffer/', region: undefined, pathStyle: true },
        ...{ endpoint, credentials: keys },
      }
    },
    async removePlace(place) {
      using client = connect()
      await removeAll(client, place)
      await client.send(new DeleteBucketCommand({ Bucket: place.bucket }))
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** That of TEST_S3_URL, which is as in `s3://bucket?endpoint=http://localhost:9000&region=us-east-1`. */
export function givenS3Server(): S3Server | undefined {
  const value = process.env['TEST_S3_URL']
  if (value === undefined) return undefined
  const url = new URL(value)
  const endpoint = url.searchParams.get('endpoint')
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = process.env
  if (endpoint === null || accessKeyId === undefined || secretAccessKey === undefined) {
    throw new Error('TEST_S3_URL needs an endpoint, and credentials in the environment.')
  }
  const region = url.searchParams.get('region') ?? undefined
  const access = { endpoint, credentials: { accessKeyId, secretAccessKey } }
  return {
    ...access,
    async makePlace() {
      const prefix = `${url.pathname.slice(1)}${randomUUID()}/`
      return { ...access, bucket: url.hostname, prefix, region, pathStyle: true }
    },
    async removePlace(place) {
      using client = connectTo(access, region)
      await removeAll(client, place)
    },
    async [Symbol.asyncDispose]() {},
  }
}

function connectTo(access: S3Access, region = 'us-east-1'): S3Client & Disposable {
  const client = new S3Client({ ...access, region, forcePathStyle: true })
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}

async function removeAll(client: S3Client, { bucket, prefix }: S3Place): Promise<void> {
  const place = { Bucket: bucket, Prefix: prefix }
  for (;;) {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand(place))
    for (const { Key, UploadId } of Uploads) {
      await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }))
    }
    const { Contents = [] } = await client.send(new ListObjectsV2Command(place))
    if (Uploads.length + Contents.length === 0) return
    if (Contents.length === 0) continue
    const Delete = { Objects: Contents.map(({ Key }) => ({ Key })), Quiet: true }
    await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete }))
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

async function untilServing(endpoint: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`The S3 server ended with ${child.exitCode}.`)
    const answer = await fetch(endpoint).catch(() => undefined)
    if (answer !== undefined) return
    await sleep(50)
  }
}

/** Builds the binary of a server, if nobody did so before; gives its path. */
export async function buildS3Server(engine: S3Engine): Promise<string> {
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
