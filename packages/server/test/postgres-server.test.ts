/** That the PostgreSQL of tests is what they take it for. */

import { readFile } from 'node:fs/promises'
import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { startPostgresServer } from './postgres-server.ts'

async function ask(url: string, sql: string, ca?: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url, ...(ca === undefined ? {} : { ssl: { ca } }) })
  // Told when the server ends, where a query is told the same.
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

describe('a PostgreSQL server of tests', () => {
  it.each(['stop', 'kill'] as const)('has all that was committed after %s', async (end) => {
    await using server = await startPostgresServer()
    await using database = await server.makeDatabase()
    await ask(database.url, 'create table counts (count integer)')
    await ask(database.url, 'insert into counts values (7)')
    const sleeping = ask(database.url, 'select pg_sleep(600)')
    const refused = expect(sleeping).rejects.toThrow()
    await server[end]()
    await refused
    await expect(ask(database.url, 'select 1')).rejects.toThrow('ECONNREFUSED')
    await server.start()
    expect(await ask(database.url, 'select count from counts')).toEqual([{ count: 7 }])
    expect((await server.log()).includes('was not properly shut down')).toBe(end === 'kill')
  })

  it('speaks TLS where asked', async () => {
    await using server = await startPostgresServer({ tls: true })
    const ca = await readFile(server.certificate, 'utf8')
    const sql = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
    expect(await ask(server.url, sql, ca)).toEqual([{ ssl: true }])
    expect(await ask(server.url, sql)).toEqual([{ ssl: false }])
  })

  it('drops a database from under those who use it', async () => {
    await using server = await startPostgresServer()
    const database = await server.makeDatabase()
    const sleeping = expect(ask(database.url, 'select pg_sleep(600)')).rejects.toThrow()
    await database[Symbol.asyncDispose]()
    await sleeping
    await expect(ask(database.url, 'select 1')).rejects.toThrow('does not exist')
  })
})
