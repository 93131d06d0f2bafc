import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { chmod, chown, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { uploadHalf } from '../../packages/cli/test/half-upload.ts'
import {
  type Coffer,
  makeFolder,
  type Program,
  repository,
  runProgram,
  startCoffer,
} from '../../packages/cli/test/start-coffer.ts'
import { command } from './mounts.ts'
import { machineHas } from './needs.ts'

const deploy = join(repository, 'deploy')
const canRun = machineHas({ nginx: 'nginx-light', unshare: 'util-linux', setpriv: 'util-linux' })
const soon = { timeout: 20_000 }

/** What an image has, made by the script that makes it there. */
async function build(target: string, checkout: string): Promise<void> {
  const files = command('git', '-C', repository, 'ls-files', '-co', '--exclude-standard')
  for (const file of files.trim().split('\n')) {
    if (!/^(packages\/|package|tsconfig|LICENSE|deploy\/build\.sh)/.test(file)) continue
    if (file.includes('/test/')) continue
    cpSync(join(repository, file), join(checkout, file))
  }
  // npm comes from the network, for which some machines need a certificate of their own.
  const { NODE_EXTRA_CA_CERTS: certificates } = process.env
  const script = runProgram(join(checkout, 'deploy', 'build.sh'), [target], {
    folder: checkout,
    env: certificates === undefined ? {} : { NODE_EXTRA_CA_CERTS: certificates },
  })
  expect(await script.ended, script.stderr).toMatchObject({ code: 0 })
}

describe.skipIf(!canRun)('what deploy/build.sh makes', () => {
  it('serves on a read-only file system as a user without any right', async () => {
    await using folder = await makeFolder()
    await chmod(folder.path, 0o755)
    const target = join(folder.path, 'opt', 'coffer')
    const data = join(folder.path, 'data')
    mkdirSync(join(folder.path, 'checkout'))
    mkdirSync(data)
    await chown(data, 10001, 10001)
    await build(target, join(folder.path, 'checkout'))
    expect(readdirSync(join(target, 'node_modules'))).not.toContain('vitest')

    const dockerfile = await readFile(join(deploy, 'Dockerfile'), 'utf8')
    const [, program = ''] = /^ENTRYPOINT \["\/opt\/coffer\/(.+)"\]$/m.exec(dockerfile) ?? []
    const script = join(folder.path, 'container.sh')
    await writeFile(
      script,
      'set -eu\nmount --make-rprivate /\nmount --bind "$1" "$1"\n' +
        'mount -o remount,bind,ro /\nshift\n' +
        'exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set -all "$@"\n',
    )
    await using coffer = await startCoffer({
      folder: data,
      command: ['unshare', '--mount', 'sh', script, data, join(target, program)],
    })
    expect((await coffer.fetch('/readyz')).status).toBe(200)
    expect((await coffer.upload(new Uint8Array(3_000_000))).status).toBe(200)
    expect(statSync(join(data, 'coffer.db')).uid).toBe(10001)
    const status = readFileSync(`/proc/${coffer.pid}/status`, 'utf8')
    expect(status).toMatch(/^CapEff:\s+0+$/m)
    // The process itself, and no shell around it, is what the signal reaches.
    expect(readFileSync(`/proc/${coffer.pid}/comm`, 'utf8')).not.toBe('sh\n')

    const check = (listen: string) =>
      runProgram(join(target, 'bin', 'node'), [join(deploy, 'healthcheck.js')], {
        env: { COFFER_LISTEN: listen },
      })
    const { port } = new URL(coffer.url)
    expect(await check(`0.0.0.0:${port}`).ended).toMatchObject({ code: 0 })
    expect(await coffer.stop()).toEqual({ code: 0, signal: null })
    expect(await check(`127.0.0.1:${port}`).ended).toMatchObject({ code: 1 })
  })
})

interface Nginx extends AsyncDisposable {
  readonly url: string
  readonly folder: string
}

/** The shipped configuration, with other ports. */
async function startNginx(servers: readonly Coffer[]): Promise<Nginx> {
  await using started = new AsyncDisposableStack()
  const { path: folder } = started.use(await makeFolder())
  const port = await freePort()
  const conf = (await readFile(join(deploy, 'nginx.conf'), 'utf8'))
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
    .replace('listen [::]:80;', '')
  const ports = servers.map(({ url }) => new URL(url).port)
  const upstream = (await readFile(join(deploy, 'nginx-upstream.conf'), 'utf8'))
    .replace('# server', 'server')
    .replace(/127\.0\.0\.1:345\d/g, () => `127.0.0.1:${ports.shift()}`)
  await writeFile(join(folder, 'coffer.conf'), conf)
  await writeFile(join(folder, 'coffer-upstream.conf'), upstream)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/temp-${name};`,
  )
  const main = `
daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http { access_log off; ${temporary.join(' ')} include ${folder}/coffer*.conf; }
`
  await writeFile(join(folder, 'nginx.conf'), main)
  const args = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')]
  command('nginx', '-t', ...args)
  const nginx: Program = started.use(runProgram('nginx', args))
  const url = `http://127.0.0.1:${port}`
  await vi.waitFor(() => fetch(`${url}/healthz`), soon)
  expect(nginx.stderr).toBe('')
  const running = started.move()
  return { url, folder, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('It has no port.')
  return address.port
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
}

function storedByNginx({ folder }: Nginx): number {
  return bytesBelow(join(folder, 'temp-client_body')) + bytesBelow(join(folder, 'temp-proxy'))
}

describe.skipIf(!canRun)('nginx as deploy/ has it, before two servers', () => {
  it('passes an upload on while it comes, and keeps nothing of it', async () => {
    await using one = await startCoffer()
    await using two = await startCoffer()
    await using nginx = await startNginx([one, two])
    const arrived = () =>
      [one, two].reduce((sum, { folder }) => sum + bytesBelow(join(folder, 'blobs', 'tmp')), 0)
    const upload = await uploadHalf(Object.assign(Object.create(one), { url: nginx.url }))
    await vi.waitFor(() => expect(arrived()).toBeGreaterThan(500_000), soon)
    expect(storedByNginx(nginx)).toBe(0)
    expect(await upload.finish()).toMatch(/^file-/)
  })

  it('passes on 512 MiB both ways, whose reader is slower than the server', async () => {
    await using one = await startCoffer()
    await using nginx = await startNginx([one, one])
    const bytes = 512 * 1024 * 1024
    const form = new FormData()
    form.append('purpose', 'user_data')
    form.append('file', new Blob([new Uint8Array(bytes)]), 'large.bin')
    const headers = { authorization: `Bearer ${one.key}` }
    const answer = await fetch(`${nginx.url}/v1/files`, { method: 'POST', body: form, headers })
    const { id } = (await answer.json()) as { id: string }
    expect(storedByNginx(nginx)).toBe(0)
    const content = await fetch(`${nginx.url}/v1/files/${id}/content`, { headers })
    let read = 0
    let stored = 0
    for await (const piece of content.body ?? []) {
      read += piece.length
      if (read % 97 === 0) stored = Math.max(stored, storedByNginx(nginx))
    }
    expect({ read, stored }).toEqual({ read: bytes, stored: 0 })
  })

  it('goes on with one when the other ends', async () => {
    await using one = await startCoffer()
    await using two = await startCoffer()
    await using nginx = await startNginx([one, two])
    const headers = { authorization: `Bearer ${one.key}` }
    const create = async () => {
      const form = new FormData()
      form.append('purpose', 'user_data')
      form.append('file', new Blob(['a line']), 'a.txt')
      const { status } = await fetch(`${nginx.url}/v1/files`, {
        method: 'POST',
        body: form,
        headers,
      })
      return status
    }
    const createMany = async () => new Set(await Promise.all(Array.from({ length: 40 }, create)))
    expect(await createMany()).toEqual(new Set([200]))
    const countIn = async (coffer: Coffer) => {
      const list = (await (await coffer.fetch('/v1/files')).json()) as { data: unknown[] }
      return list.data.length
    }
    expect(await countIn(one)).toBeGreaterThan(0)
    expect(await countIn(two)).toBeGreaterThan(0)
    await two.stop()
    expect(await createMany()).toEqual(new Set([200]))
  })

  it('refuses nothing by its size, and shows counts and readiness to nobody', async () => {
    await using one = await startCoffer({ env: { COFFER_MAX_FILE_BYTES: '1000' } })
    await using nginx = await startNginx([one, one])
    const form = new FormData()
    form.append('purpose', 'user_data')
    form.append('file', new Blob([new Uint8Array(2_000_000)]), 'large.bin')
    const headers = { authorization: `Bearer ${one.key}` }
    const refused = await fetch(`${nginx.url}/v1/files`, { method: 'POST', body: form, headers })
    expect(refused.status).toBe(413)
    expect(await refused.json()).toMatchObject({ error: { type: 'invalid_request_error' } })
    expect((await fetch(`${nginx.url}/metrics`)).status).toBe(404)
    expect((await fetch(`${nginx.url}/readyz`)).status).toBe(404)
  })
})
