import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import {
  migrate,
  openMigrationSource,
  openMigrationTarget,
  readStorePair,
} from '@coffer/server/tools'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeDiskStores } from '../../server/test/disk-stores.ts'
import { observeRequests } from '../../server/test/observe-requests.ts'
import { makePostgresS3Stores } from '../../server/test/postgres-s3-stores.ts'
import { startFaultProxy } from '../../server/test/s3-fault-proxy.ts'
import { startServer } from '../../server/test/start-server.ts'
import type { TestStores } from '../../server/test/test-stores.ts'
import { until } from '../../server/test/until.ts'
import { whyNoS3Server } from '../../server/test/why-no-s3-server.ts'
import { run } from '../src/run.ts'
import { listRows } from './data-folder.ts'
import { fakeIo, runFake } from './fake-io.ts'
import { readSum } from './filled-store.ts'
import { sha256 } from './load.ts'
import { changeRows, type MadeStore, makeStore } from './made-store.ts'
import { findStoreFaults, noStoreFaults, startOn } from './many-servers.ts'
import { makePair, nameOf } from './pairs-of-stores.ts'
import { type Coffer, type Folder, makeFolder, runCoffer, startCoffer } from './start-coffer.ts'
import { startSteadyLoad } from './steady-load.ts'

const KiB = 1024
const why = await whyNoS3Server()
const title = 'coffer migrate'

describe.skipIf(why !== undefined)(why === undefined ? title : `${title} (${why})`, () => {
  it.each([
    ['SQLite and a disk', 'PostgreSQL and S3'],
    ['PostgreSQL and S3', 'SQLite and a disk'],
  ] as const)(
    'copies from %s while that is written, and ends with 0 once it is read-only',
    async (...kinds) => {
      await using from = await makePair(kinds[0])
      await using target = await makePair(kinds[1])
      const way = ['migrate', '--from', nameOf(from), '--to', nameOf(target)]
      let stored: ReadonlyMap<string, string>
      let deleted: ReadonlySet<string>
      {
        await using source = await startAt(from, { COFFER_SWEEP_SECONDS: '1' })
        const load = startSteadyLoad(source, { writers: 2, most: 20 })
        await load.reached(20)
        const first = await runFake(way)
        expect(first).toMatchObject({ code: 1 })
        expect(first.stderr).toMatch(
          /^coffer: The copy is whole, and the source has changed meanwhile: [\d,]+ files? came, [\d,]+ files? went\. Run it again, the last time with COFFER_READ_ONLY=true on its servers\.\n$/,
        )
        expect(await findStoreFaults(target)).toEqual(noStoreFaults)
        await load.reached(40)
        expect(await runFake(way)).toMatchObject({ code: 1 })
        await load.stop()
        ;({ stored, deleted } = load)
        await source.stop()
      }
      await using readOnly = await startAt(from, { COFFER_READ_ONLY: 'true' })
      expect(await runFake(way)).toMatchObject({ code: 0, stderr: '' })
      expect((await readOnly.fetch('/readyz')).status).toBe(200)
      const again = await runFake(way)
      expect(again).toMatchObject({ code: 0, stderr: '' })
      expect(again.stdout).toMatch(/; 0 B copied now\n$/)

      await using server = await startAt(target, { COFFER_SWEEP_SECONDS: '1' })
      for (const [id, sum] of stored) expect(await readSum(server, id), id).toBe(sum)
      for (const id of deleted) expect(await readSum(server, id), id).toBe(404)
      expect(server.stderr).not.toMatch(/"level":(40|50)/)
      // What earlier runs had copied, and was deleted since, the sweep has by then.
      await until(async () => {
        const loose = await target.query('select blob_id from loose_blobs where server_id is null')
        return loose.length === 0
      })
      await server.stop()
      expect(await findStoreFaults(target)).toEqual(noStoreFaults)
    },
  )

  describe('that is killed', () => {
    let source: MadeStore
    beforeAll(async () => {
      source = await makeStore({ large: 60, small: 120 })
    })
    afterAll(() => source[Symbol.asyncDispose]())

    it.each([1, 4, 30, 100, 290, 440])('goes on from there, after request %i', async (request) => {
      await using target = await makePostgresS3Stores()
      await using proxy = await startFaultProxy(endpointOf(target))
      const way = [
        'migrate',
        '--from',
        source.path,
        '--to',
        nameOf(through(proxy.endpoint, target)),
      ]
      await using program = runCoffer(way, credentials())
      for (let number = 1; number < request; number += 1) proxy.before('any', async () => {})
      proxy.before('any', async () => void program.signal('SIGKILL'))
      const { signal } = await program.ended
      expect(signal).toBe('SIGKILL')
      // No request of it is still on its way.
      const arrived = await target.listBlobs()

      if (arrived.length > 0) {
        await expect(startServer({ stores: target })).rejects.toThrow(
          /^These stores are to become the store store_\w+, and coffer migrate has not come to its end\. Run it again: it goes on where it was\.$/,
        )
      }
      using written = watchPuts()
      expect(
        await runFake(['migrate', '--from', source.path, '--to', nameOf(target)]),
      ).toMatchObject({
        code: 0,
        stderr: '',
      })
      expect(written.ids.size + arrived.length).toBeGreaterThanOrEqual(180)
      expect([...written.ids].filter((id) => arrived.includes(id))).toEqual([])
      expect(await findStoreFaults(target)).toEqual(noStoreFaults)
      expect(await target.query('select id from files')).toHaveLength(180)
    })
  })

  it('ends at Ctrl-C, and goes on when it is run again', async () => {
    await using source = await makeStore({ large: 30, small: 30 })
    await using target = await makePostgresS3Stores()
    await using proxy = await startFaultProxy(endpointOf(target))
    const io = fakeIo()
    for (let number = 1; number < 20; number += 1) proxy.before('put', async () => {})
    proxy.before('put', async () => void io.emit('SIGINT'))
    const to = nameOf(through(proxy.endpoint, target))
    expect(await run(['migrate', '--from', source.path, '--to', to], io)).toBe(130)
    expect(io.written.stderr).toBe('coffer: Stopped. Run it again to go on.\n')
    const way = ['migrate', '--from', source.path, '--to', nameOf(target)]
    expect(await runFake(way)).toMatchObject({ code: 0, stderr: '' })
    expect(await findStoreFaults(target)).toEqual(noStoreFaults)
  })

  it('takes what a killed run had under way, and landed late, for what it is', async () => {
    await using source = await makeStore({ large: 2, small: 0 })
    await using target = await makePostgresS3Stores()
    await using proxy = await startFaultProxy(endpointOf(target))
    const [whole = '', torn = ''] = source.large.map((id) => blobIn(source, id))
    const url = new URL(target.settings.COFFER_BLOBS_URL ?? '')
    const client = new S3Client({
      ...{ endpoint: endpointOf(target), region: 'us-east-1', forcePathStyle: true },
    })
    async function land(): Promise<void> {
      for (const [id, bytes] of [[whole, 300 * KiB] as const, [torn, 100] as const]) {
        const Body = readFileSync(pathOf(source, id)).subarray(0, bytes)
        const Key = `${url.pathname.slice(1)}blobs/${id}`
        await client.send(new PutObjectCommand({ Bucket: url.hostname, Key, Body }))
      }
    }
    // Behind the two of the probe and the mark.
    for (let number = 1; number <= 3; number += 1) proxy.before('put', async () => {})
    // And both before either of those that would be first otherwise.
    let landing: Promise<void> | undefined
    for (const _ of [whole, torn]) {
      proxy.before('put', () => {
        landing ??= land()
        return landing
      })
    }
    const to = nameOf(through(proxy.endpoint, target))
    const made = await runFake(['migrate', '--from', source.path, '--to', to])
    client.destroy()
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toContain('; 300 KiB copied now')
    expect(await runFake(['migrate', '--from', source.path, '--to', to, '--verify'])).toMatchObject(
      {
        stdout: expect.stringContaining('; 0 B copied now'),
      },
    )
  })

  it('fails where the target does, with what is copied kept', async () => {
    await using source = await makeStore({ large: 3, small: 3 })
    await using target = await makePostgresS3Stores()
    await using proxy = await startFaultProxy(endpointOf(target))
    const to = nameOf(through(proxy.endpoint, target))
    for (let number = 1; number <= 5; number += 1) proxy.before('put', async () => {})
    proxy.before('put', async () => proxy.fail('put', { status: 403, code: 'AccessDenied' }, 100))
    const failed = await runFake(['migrate', '--from', source.path, '--to', to])
    expect(failed).toMatchObject({ code: 1, stdout: '' })
    expect(failed.stderr).toMatch(
      /^coffer: --to: The bytes of file-\w+ cannot be written: .+\. Run it again to go on\.\n$/,
    )
    proxy.heal()
    const made = await runFake(['migrate', '--from', source.path, '--to', to])
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(await findStoreFaults(target)).toEqual(noStoreFaults)
  })

  describe('refuses a target', () => {
    let source: MadeStore
    beforeAll(async () => {
      source = await makeStore({ large: 1, small: 1 })
    })
    afterAll(() => source[Symbol.asyncDispose]())

    it.each(['SQLite and a disk', 'PostgreSQL and S3'] as const)(
      'that a server has served since: %s',
      async (kind) => {
        await using target = await makePair(kind)
        const way = ['migrate', '--from', source.path, '--to', nameOf(target)]
        expect(await runFake(way)).toMatchObject({ code: 0 })
        await using server = await startServer({ stores: target })
        await server.create('taken in by the new server')
        const busy = await runFake(way)
        expect(busy).toMatchObject({ code: 1, stdout: '' })
        expect(busy.stderr).toMatch(
          /^coffer: --to: The (folder \S+ is in use by another Coffer|database is in use by a server, or by another coffer migrate)\.\n$/,
        )
        await server.stop()
        const refused = await runFake(way)
        expect(refused).toMatchObject({ code: 1, stdout: '' })
        expect(refused.stderr).toMatch(
          /^coffer: --to: Nothing is copied: a server has run on the store store_\w+ there, and what it took in would be overwritten\. Give stores that are empty\.\n$/,
        )
        expect(await target.query('select id from files')).toHaveLength(3)
      },
    )

    it('of which a server has counted up the rows, and was killed before it wrote its mark', async () => {
      await using target = await makeFolder()
      const way = ['migrate', '--from', source.path, '--to', target.path]
      expect(await runFake(way)).toMatchObject({ code: 0 })
      changeRows(target, 'update store set generation = generation + 1')
      expect((await runFake(way)).stderr).toContain('a server has run on the store')
    })

    it('that holds another store', async () => {
      await using target = await makeStore({ large: 1, small: 0 })
      const refused = await runFake(['migrate', '--from', source.path, '--to', target.path])
      expect(refused).toMatchObject({ code: 1, stdout: '' })
      expect(refused.stderr).toMatch(
        /^coffer: --to: Nothing is copied: they hold the store store_\w+, not store_\w+\. Give/,
      )
    })

    it('that has rows without their bytes, bytes without their rows, or bytes of nobody', async () => {
      await using target = await makeFolder()
      const to = (rows: string, bytes: string) =>
        `sqlite:${join(target.path, rows)}/coffer.db,file:${join(target.path, bytes)}`
      const copy = (rows: string, bytes: string) =>
        runFake(['migrate', '--from', source.path, '--to', to(rows, bytes)])
      expect(await copy('rows', 'bytes')).toMatchObject({ code: 0 })
      expect((await copy('rows', 'other')).stderr).toContain('and its bytes are not there')
      // Rows were lost before a server ran on them: they are copied again, to the bytes that are there.
      const anew = await copy('anew', 'bytes')
      expect(anew).toMatchObject({ code: 0 })
      expect(anew.stdout).toContain('; 0 B copied now')
      rmSync(join(target.path, 'bytes', 'STORE'))
      expect((await copy('third', 'bytes')).stderr).toContain('there are bytes already')
      changeRows({ path: join(target.path, 'anew') }, 'delete from store')
      expect((await copy('anew', 'fourth')).stderr).toContain('there are rows already')
    })

    it('on which another one runs', async () => {
      await using target = await makePostgresS3Stores()
      await using first = await openMigrationTarget(readStorePair(nameOf(target)), () => {})
      expect(first.name).not.toContain('secret')
      const way = ['migrate', '--from', source.path, '--to', nameOf(target)]
      expect((await runFake(way)).stderr).toBe(
        'coffer: --to: The database is in use by a server, or by another coffer migrate.\n',
      )
      // Nor does a server start.
      await expect(startServer({ stores: target })).rejects.toThrow('in use by another Coffer')
    })

    it.each([
      ['pragma user_version = 1', 'was written by an older Coffer'],
      ['pragma user_version = 99', 'has schema 99, and this Coffer knows'],
    ])('whose schema is another: %s', async (sql, sentence) => {
      await using target = await makeStore({ large: 0, small: 1 })
      changeRows(target, sql)
      const { stderr } = await runFake(['migrate', '--from', source.path, '--to', target.path])
      expect(stderr).toContain(`--to: The database ${sentence}`)
    })
  })

  describe('refuses a source', () => {
    it.each([
      ['older', 'pragma user_version = 3', 'was written by an older Coffer. Start this one once'],
      ['newer', 'pragma user_version = 99', 'has schema 99, and this Coffer knows'],
    ])('of SQLite whose schema is %s, and does not change it', async (_, sql, sentence) => {
      await using source = await makeStore({ large: 0, small: 1 })
      await using target = await makeFolder()
      changeRows(source, sql)
      const before = readFileSync(join(source.path, 'coffer.db'))
      const refused = await runFake(['migrate', '--from', source.path, '--to', target.path])
      expect(refused).toMatchObject({ code: 1, stdout: '' })
      expect(refused.stderr).toContain(`--from: The database ${sentence}`)
      expect(readFileSync(join(source.path, 'coffer.db'))).toEqual(before)
    })

    it('of PostgreSQL whose schema is older or newer, or that is empty', async () => {
      await using source = await makePostgresS3Stores()
      await using target = await makeFolder()
      const way = ['migrate', '--from', nameOf(source), '--to', target.path]
      expect((await runFake(way)).stderr).toContain('--from: There is no store in the database.')
      await (await startServer({ stores: source })).stop()
      await source.query('update coffer_schema set version = version + 1')
      expect((await runFake(way)).stderr).toContain('Start the newer Coffer that wrote it.')
      await source.query('update coffer_schema set version = 0')
      expect((await runFake(way)).stderr).toContain('was written by an older Coffer.')
      expect(await source.query('select version from coffer_schema')).toEqual([{ version: 0 }])
    })

    it('that is not there, or whose volume of bytes is not', async () => {
      await using source = await makeStore({ large: 1, small: 1 })
      await using target = await makeFolder()
      const to = ['--to', join(target.path, 'new')]
      const nowhere = await runFake(['migrate', '--from', join(target.path, 'none'), ...to])
      expect(nowhere.stderr).toContain('--from: There is no store: ')
      rmSync(join(source.path, 'blobs', 'STORE'))
      const unmounted = await runFake(['migrate', '--from', source.path, ...to])
      expect(unmounted).toMatchObject({ code: 1 })
      expect(unmounted.stderr).toContain('--from: There is no mark of the store beside the bytes.')
    })
  })

  it('names what the source lacks, copies the rest, and all once it is brought back', async () => {
    await using source = await makeDiskStores()
    await using target = await makePostgresS3Stores()
    const content = randomBytes(600 * KiB)
    const ids: string[] = []
    {
      await using server = await startServer({ stores: source })
      for (let count = 0; count < 8; count += 1) ids.push((await server.create(content)).id)
    }
    const [missing = '', damaged = '', short = '', old = ''] = ids
    const blobs = await Promise.all([missing, damaged, short, old].map((id) => blobOf(source, id)))
    const [missingBlob = '', damagedBlob = '', shortBlob = '', oldBlob = ''] = blobs
    await source.removeBlob(missingBlob)
    await source.replaceBlob(damagedBlob, changed(content, 300 * KiB))
    await source.replaceBlob(shortBlob, content.subarray(0, 512 * KiB))
    // Of before there were checksums, with a damage in its last block.
    await source.query(`update segments set checksums = x'' where blob_id = ?`, oldBlob)
    await source.replaceBlob(oldBlob, changed(content, content.length - 1))

    using written = watchPuts()
    const made = await migratePair(source, target)
    expect(made.code).toBe(1)
    // A copy that is found to be wrong afterwards would be there if the run was killed before.
    expect(blobs.filter((id) => written.ids.has(id))).toEqual([])
    expect(made.stderr.split('\n').toSorted()).toEqual(
      [
        '',
        `Not copied: ${missing}: its bytes are missing.`,
        `Not copied: ${damaged}: Blob ${damagedBlob} is damaged in the block 1.`,
        `Not copied: ${short}: Blob ${shortBlob} ends before byte ${content.length}.`,
        `Not copied: ${old}: its content is not what was stored.`,
        'coffer: The bytes of 4 files are not copied, as the source lacks them: bring them back and ' +
          'run it again, or delete these files.',
      ].toSorted(),
    )
    const faults = await findStoreFaults(target)
    expect(faults).toEqual({ ...noStoreFaults, missing: faults.missing })
    expect(faults.missing.toSorted()).toEqual(blobs.toSorted())

    for (const id of [damagedBlob, shortBlob, oldBlob]) await source.replaceBlob(id, content)
    await writeFile(join(source.folder, 'blobs', missingBlob.slice(0, 2), missingBlob), content)
    expect(await migratePair(source, target)).toMatchObject({ code: 0, stderr: '' })
    await using server = await startServer({ stores: target })
    for (const id of ids) {
      const asking = { url: server.url, key: server.apiKey }
      expect(await readSum(asking, id)).toBe(sha256(content))
    }
  })

  it('makes no copy of a store that lacks most of its bytes', async () => {
    await using source = await makeStore({ large: 3, small: 1 })
    await using target = await makeFolder()
    for (const id of source.large) rmSync(pathOf(source, blobIn(source, id)))
    const failed = await runFake(['migrate', '--from', source.path, '--to', target.path])
    expect(failed).toMatchObject({ code: 1, stdout: '' })
    expect(failed.stderr).toContain('Of 4 files 3 have no bytes that can be read.')
  })

  it.each(['SQLite and a disk', 'PostgreSQL and S3'] as const)(
    'finds with --verify what was damaged at the target, and mends it: %s',
    async (kind) => {
      await using source = await makeStore({ large: 3, small: 3 })
      await using target = await makePair(kind)
      const way = ['migrate', '--from', source.path, '--to', nameOf(target)]
      expect(await runFake(way)).toMatchObject({ code: 0 })
      const [one = '', two = ''] = source.large.map((id) => blobIn(source, id))
      await target.replaceBlob(one, randomBytes(300 * KiB))
      // Of before there were checksums.
      changeRows(source, `update segments set checksums = x'' where blob_id = '${two}'`)
      await target.replaceBlob(two, randomBytes(300 * KiB))
      expect((await runFake(way)).stdout).toContain('; 0 B copied now')
      const verified = await runFake([...way, '--verify'])
      expect(verified).toMatchObject({ code: 0, stderr: '' })
      expect(verified.stdout).toContain('; 600 KiB copied now')
      expect((await runFake([...way, '--verify'])).stdout).toContain('; 0 B copied now')
    },
  )

  it('leaves out a file that came after the first look and went before its turn', async () => {
    await using source = await makeStore({ large: 6, small: 0 })
    await using target = await makeFolder()
    const from = readStorePair(source.path)
    await using opened = await openMigrationSource(from)
    await using made = await openMigrationTarget(readStorePair(target.path), () => {})
    const steps: string[] = []
    const blobs: [string, string] = ['0'.repeat(32), 'f'.repeat(32)]
    let isThere = false
    const outcome = await migrate(opened, made, {
      signal: new AbortController().signal,
      verify: false,
      begin(step) {
        steps.push(step)
        if (steps.length === 2) {
          insertFile(source, blobs)
          isThere = true
        }
        return () => {
          // The moment has begun, and the blob's turn comes last.
          if (!isThere || steps.length !== 2) return
          removeFile(source)
          isThere = false
        }
      },
    })
    expect(steps).toEqual(['bytes', 'newest bytes', 'rows', 'comparison'])
    expect(isThere).toBe(false)
    expect(outcome).toMatchObject({ files: 6, lost: [], since: { isAny: false } })
    // What was copied of it is nobody's.
    expect(readFileSync(pathOf(target, blobs[0]))).toHaveLength(300 * KiB)
    expect(listRows(target.path).loose).toEqual(blobs)
    expect(await runFake(['fsck', '--data', target.path])).toMatchObject({ code: 0 })
  })

  it('follows what changes in rows, and leaves what went to the sweep', async () => {
    await using source = await makeStore({ large: 2, small: 2 })
    await using target = await makePostgresS3Stores()
    const way = ['migrate', '--from', source.path, '--to', nameOf(target)]
    expect(await runFake(way)).toMatchObject({ code: 0 })
    const [kept = '', gone = ''] = source.large
    const blob = blobIn(source, gone)
    changeRows(
      source,
      `delete from segments where file_id = '${gone}'; delete from files where id = '${gone}';
       update organizations set used_bytes = used_bytes - 300 * 1024;
       update files set damaged_at = 7 where id = '${kept}';
       update api_keys set id = 'key_before_all', name = 'with the same digest';
       insert into uploads select 'upload_nul', organization_id, id, 'user_data', 'f', char(97, 0, 98),
         9, null, 1, 4000000000, 'cancelled', null, null, null, 0, 0 from projects limit 1`,
    )
    expect(await runFake(way)).toMatchObject({ code: 0, stderr: '' })
    expect(await runFake(way)).toMatchObject({ code: 0, stderr: '' })
    expect(await target.query('select blob_id, sweep_after, server_id from loose_blobs')).toEqual([
      { blob_id: blob, sweep_after: 0, server_id: null },
    ])
    expect(await target.query('select damaged_at from files where id = ?', kept)).toEqual([
      { damaged_at: 7 },
    ])
    expect(await target.query('select id, name from api_keys')).toEqual([
      { id: 'key_before_all', name: 'with the same digest' },
    ])
    expect(await target.query('select mime_type from uploads')).toEqual([{ mime_type: 'a\ufffdb' }])
    expect(await target.query('select id from files')).toHaveLength(3)
  })

  it('tells what is wrong with how it is used, without what may be secret', async () => {
    await using folder = await makeFolder()
    const secret = join(folder.path, 'url')
    await writeFile(secret, 'postgres://coffer:secret@127.0.0.1:1/coffer\n')
    const use = (from: string, to: string) => runFake(['migrate', '--from', from, '--to', to])
    const expected =
      'expected a data folder, or METADATA_URL,BLOBS_URL. See coffer migrate --help.\n'
    const outcomes = [
      [await use('postgres://u:secret@h/d', folder.path), `coffer: --from: ${expected}`],
      [await use(folder.path, `@${secret}`), `coffer: --to: ${expected}`],
      [
        await use(folder.path, 'mysql://u:secret@h/d,file:x'),
        'coffer: --to: expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE. See coffer migrate --help.\n',
      ],
      [
        await use(folder.path, 'sqlite::memory:,file:x'),
        'coffer: --to: what is in the memory of a server cannot be copied, or be copied to. See coffer migrate --help.\n',
      ],
      [
        await use(folder.path, '@/nowhere,file:x'),
        'coffer: --to: the file /nowhere cannot be read. See coffer migrate --help.\n',
      ],
      [
        await use(folder.path, `sqlite:x.db,file:${folder.path}/blobs`),
        'coffer: --from and --to name the same place. Rows and bytes move together, each to another place.\n',
      ],
      [
        await runFake(['migrate', '--from', folder.path]),
        "coffer: required option '--to <stores>' not specified. See coffer migrate --help.\n",
      ],
    ] as const
    for (const [{ code, stderr }, sentence] of outcomes) {
      expect(stderr).toBe(sentence)
      expect(code).toBe(2)
    }
    const unreachable = await use(`@${secret},s3://b,c/`, folder.path)
    expect(unreachable.code).toBe(1)
    expect(unreachable.stderr).toBe('coffer: --from: connect ECONNREFUSED 127.0.0.1:1\n')
  })
})

function startAt(stores: TestStores, env: Record<string, string>): Promise<Coffer> {
  const folder = stores.settings.COFFER_DATA
  return folder === undefined ? startOn(stores, env) : startCoffer({ folder, env })
}

function migratePair(from: TestStores, to: TestStores) {
  return runFake(['migrate', '--from', nameOf(from), '--to', nameOf(to)])
}

/** The blobs that this process sends to S3. */
function watchPuts() {
  const ids = new Set<string>()
  const observed = observeRequests(({ method, path }) => {
    const [, id] = /\/blobs\/([0-9a-f]{32})/.exec(path) ?? []
    if (method === 'PUT' && id !== undefined) ids.add(id)
    return false
  })
  return { ids, [Symbol.dispose]: () => observed[Symbol.dispose]() }
}

function changed(content: Uint8Array, at: number): Uint8Array {
  const other = Uint8Array.from(content)
  other[at] = (other[at] ?? 0) ^ 1
  return other
}

async function blobOf({ query }: TestStores, id: string): Promise<string> {
  const rows = await query<{ blob_id: string }>(
    'select blob_id from segments where file_id = ?',
    id,
  )
  return rows[0]?.blob_id ?? ''
}

function blobIn({ path }: Folder, id: string): string {
  using rows = new DatabaseSync(join(path, 'coffer.db'), { readOnly: true })
  return String(rows.prepare('select blob_id from segments where file_id = ?').get(id)?.['blob_id'])
}

function pathOf({ path }: Folder, blob: string): string {
  return join(path, 'blobs', blob.slice(0, 2), blob)
}

/** Adds a file of two blobs, of which only the first is there. */
function insertFile(store: MadeStore, [firstBlob, lastBlob]: [string, string]): void {
  const [like = ''] = store.large
  cpSync(pathOf(store, blobIn(store, like)), pathOf(store, firstBlob))
  const segment = (position: number, blob: string) =>
    `insert into segments select 'file-late', ${position}, '${blob}', bytes, checksums
       from segments where file_id = '${like}';`
  changeRows(
    store,
    `insert into files select 1000, 'file-late', organization_id, project_id, purpose, filename, 2 * bytes, '',
       encoding, created_at, expires_at, damaged_at, mime_type, num_lines, tokens from files where id = '${like}';
     ${segment(0, lastBlob)} ${segment(1, firstBlob)}`,
  )
}

function removeFile(store: Folder): void {
  changeRows(
    store,
    `delete from segments where file_id = 'file-late'; delete from files where id = 'file-late'`,
  )
}

function endpointOf({ settings }: TestStores): string {
  return new URL(settings.COFFER_BLOBS_URL ?? '').searchParams.get('endpoint') ?? ''
}

/** The same stores, with S3 behind another endpoint. */
function through(endpoint: string, { settings }: TestStores): Pick<TestStores, 'settings'> {
  const url = new URL(settings.COFFER_BLOBS_URL ?? '')
  url.searchParams.set('endpoint', endpoint)
  return { settings: { ...settings, COFFER_BLOBS_URL: url.href } }
}

function credentials(): Record<string, string> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env
  return { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY }
}
